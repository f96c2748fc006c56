package stack

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Cluster is the whole system: nginx in front of gateways, API and page;
// workers; RabbitMQ, Redis, and PostgreSQL with a replica.
type Cluster struct {
	Nginx    *Nginx
	Postgres *Postgres
	Replica  *Postgres
	RabbitMQ []*RabbitMQ
	Redis    []*Redis

	mu      sync.Mutex // guards the members
	members []*Member
	options Options
	folder  *Folder
	redis   string // address
}

// Member is one process of Hikyaku in a cluster. It keeps its port when it is
// restarted.
type Member struct {
	*Process
	Roles   string
	cluster *Cluster
	name    string
	port    int
	metrics int // port of its metrics
}

// database is the name of the cluster's database.
const database = "hikyaku"

// StartCluster starts a cluster in a folder. Closing the folder ends it.
func StartCluster(ctx context.Context, f *Folder, o Options) (*Cluster, error) {
	o, err := o.resolve()
	if err != nil {
		return nil, err
	}
	if o.Port != 0 {
		if err := checkPort(o.Port); err != nil {
			return nil, err
		}
	}
	c := &Cluster{options: o, folder: f}
	if err := c.startServers(ctx); err != nil {
		return nil, err
	}
	if err := c.writeSettings(); err != nil {
		return nil, err
	}
	if err := c.Run(ctx, "migrate"); err != nil {
		return nil, err
	}
	var start errgroup.Group
	for roles, n := range map[string]int{"gateway": o.Gateways, "api,ui": o.APIs, "worker": o.Workers, "push": o.Pushers} {
		for range n {
			m, err := c.newMember(roles)
			if err != nil {
				return nil, err
			}
			start.Go(func() error { return m.Start(ctx) })
		}
	}
	if err := start.Wait(); err != nil {
		return nil, err
	}
	c.Nginx, err = StartNginx(ctx, f, o.Port, c.upstreams())
	return c, err
}

func (c *Cluster) startServers(ctx context.Context) error {
	var start errgroup.Group
	start.Go(func() (err error) {
		if c.Postgres, err = StartPostgres(ctx, c.folder, "postgresql"); err != nil {
			return err
		}
		if _, err = c.Postgres.CreateDatabase(ctx, database); err != nil {
			return err
		}
		c.Replica, err = c.Postgres.StartReplica(ctx, "postgresql-replica")
		return err
	})
	start.Go(func() (err error) {
		c.RabbitMQ, err = StartRabbitMQ(ctx, c.folder, c.options.RabbitMQNodes)
		return err
	})
	start.Go(func() error {
		if c.options.RedisCluster {
			cluster, err := StartRedisCluster(ctx, c.folder)
			if err == nil {
				c.Redis, c.redis = cluster.Nodes, cluster.URL()
			}
			return err
		}
		single, err := StartRedis(ctx, c.folder, "redis")
		if err == nil {
			c.Redis, c.redis = []*Redis{single}, single.URL()
		}
		return err
	})
	return start.Wait()
}

// Settings returns the environment variables with which a Hikyaku process joins
// the cluster.
func (c *Cluster) Settings() []string {
	brokers := make([]string, len(c.RabbitMQ))
	for i, node := range c.RabbitMQ {
		brokers[i] = node.URL()
	}
	return append([]string{
		"HIKYAKU_DATABASE=" + c.Postgres.URL(database),
		"HIKYAKU_DATABASE_REPLICAS=" + c.Replica.URL(database),
		"HIKYAKU_BROKER=" + strings.Join(brokers, ","),
		"HIKYAKU_REDIS=" + c.redis,
		"HIKYAKU_TRUSTED_PROXIES=127.0.0.1",
		"HIKYAKU_SETUP_TOKEN=" + c.options.SetupToken,
		fmt.Sprintf("HIKYAKU_DATABASE_CONNECTIONS=%d", c.options.databaseConnections()),
	}, c.options.Settings...)
}

// SetupToken returns the token with which the first account is made.
func (c *Cluster) SetupToken() string { return c.options.SetupToken }

// SettingsFile returns the path of a file for --config with which commands of
// hikyaku, such as user and deadletter, work on this cluster.
func (c *Cluster) SettingsFile() string { return filepath.Join(c.folder.Path(), "hikyaku.yaml") }

func (c *Cluster) writeSettings() error {
	settings := map[string]string{} // of a name that is given twice the last counts
	for _, s := range c.Settings() {
		name, value, _ := strings.Cut(s, "=")
		if key, ours := strings.CutPrefix(name, "HIKYAKU_"); ours {
			settings[strings.ToLower(strings.ReplaceAll(key, "_", "-"))] = value
		}
	}
	var text strings.Builder
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&text, "%s: %q\n", key, settings[key])
	}
	return os.WriteFile(c.SettingsFile(), []byte(text.String()), 0o600)
}

// Run runs a command of hikyaku, such as migrate, until it exits.
func (c *Cluster) Run(ctx context.Context, args ...string) error {
	p, err := c.folder.start(command{name: args[0], path: c.options.Binary, args: args, env: c.Settings(), dir: c.folder.Path()})
	if err != nil {
		return err
	}
	select {
	case <-p.Done():
	case <-ctx.Done():
		return errors.Join(ctx.Err(), p.Kill())
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("hikyaku %s ended with %d:\n%s", strings.Join(args, " "), code, tail(p.log))
	}
	return nil
}

// Logs returns the folder with the output of each process.
func (c *Cluster) Logs() string { return c.folder.Path() }

// URL returns the address of nginx.
func (c *Cluster) URL() string { return c.Nginx.URL() }

// Members returns the processes with the roles, such as "gateway"; all if roles
// is empty.
func (c *Cluster) Members(roles string) []*Member {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []*Member
	for _, m := range c.members {
		if roles == "" || m.Roles == roles {
			out = append(out, m)
		}
	}
	return out
}

// Add starts another process and adds it to nginx.
func (c *Cluster) Add(ctx context.Context, roles string) (*Member, error) {
	m, err := c.newMember(roles)
	if err != nil {
		return nil, err
	}
	if err := m.Start(ctx); err != nil {
		return nil, err
	}
	return m, c.Nginx.Reload(c.upstreams())
}

// Remove stops a process, which drains, and removes it. nginx sends it no new
// clients from the beginning.
func (c *Cluster) Remove(ctx context.Context, m *Member) error {
	c.mu.Lock()
	for i := range c.members {
		if c.members[i] == m {
			c.members = append(c.members[:i:i], c.members[i+1:]...)
			break
		}
	}
	c.mu.Unlock()
	return errors.Join(c.Nginx.Reload(c.upstreams()), m.Stop(ctx))
}

func (c *Cluster) newMember(roles string) (*Member, error) {
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	first, _, _ := strings.Cut(roles, ",")
	n := 1
	for _, m := range c.members {
		if m.Roles == roles {
			n++
		}
	}
	m := &Member{Roles: roles, cluster: c, name: fmt.Sprintf("%s-%d", first, n), port: ports[0], metrics: ports[1]}
	m.Process = &Process{name: m.name}
	c.members = append(c.members, m)
	return m, nil
}

func (c *Cluster) upstreams() (up Upstreams) {
	for _, m := range c.Members("") {
		switch m.Roles {
		case "gateway":
			up.Gateways = append(up.Gateways, m.Addr())
		case "api,ui":
			up.APIs = append(up.APIs, m.Addr())
			up.Pages = append(up.Pages, m.Addr())
		}
	}
	return up
}

// Start starts the process, also after Stop or Kill, and waits until it is
// ready.
func (m *Member) Start(ctx context.Context) error {
	// Its role on the command line is for those who look at processes.
	args := []string{"serve", "--roles", m.Roles, "--listen", m.Addr(), "--metrics-listen", loopback(m.metrics)}
	env := append([]string{fmt.Sprintf("GOMAXPROCS=%d", m.cluster.processorsPerProcess())}, m.cluster.Settings()...)
	process, err := m.cluster.folder.start(command{name: m.name, path: m.cluster.options.Binary, args: args, env: env, dir: m.cluster.folder.Path()})
	if err != nil {
		return err
	}
	m.Process = process
	return process.waitReady(ctx, m.Addr())
}

// waitReady waits until a Hikyaku process reports that it is ready.
func (p *Process) waitReady(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return p.waitFor(ctx, func(ctx context.Context) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/readyz", http.NoBody)
		if err != nil {
			return err
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			return err
		}
		defer func() { _ = answer.Body.Close() }()
		if answer.StatusCode != http.StatusOK {
			return fmt.Errorf("/readyz answers %s", answer.Status)
		}
		return nil
	})
}

// processorsPerProcess is how many processors one process may use at the same
// time (GOMAXPROCS). The gateways and workers share this machine's processors.
// If each used all of them, the idle threads would look for work and take time
// from the busy ones.
func (c *Cluster) processorsPerProcess() int {
	return max(1, runtime.NumCPU()/(c.options.Gateways+c.options.Workers))
}

// Addr returns the address that the process itself listens on, without nginx.
func (m *Member) Addr() string { return loopback(m.port) }

// MetricsURL returns the address of the process's metrics for Prometheus.
func (m *Member) MetricsURL() string { return "http://" + loopback(m.metrics) + "/metrics" }

func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// Stop stops the cluster: first nginx, then Hikyaku's processes, then the
// servers.
func (c *Cluster) Stop(ctx context.Context) error {
	var errs []error
	if c.Nginx != nil {
		errs = append(errs, c.Nginx.Stop(ctx))
	}
	var stop errgroup.Group
	for _, m := range c.Members("") {
		if m.cmd != nil {
			stop.Go(func() error { return m.Stop(ctx) })
		}
	}
	return errors.Join(append(errs, stop.Wait())...)
}
