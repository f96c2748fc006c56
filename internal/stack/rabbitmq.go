package stack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hikyaku-chat/hikyaku/deploy"
)

// RabbitMQ is a running RabbitMQ node.
type RabbitMQ struct {
	*Process
	folder  *Folder
	program rabbitProgram
	dir     string
	node    string
	port    int
	dist    int
	epmd    int
	peers   []string // the nodes that it looks for when it first starts, with itself
	size    int      // nodes of the cluster
}

func rabbitPlaces() []string {
	return []string{"/usr/lib/rabbitmq/bin", "/opt/homebrew/opt/rabbitmq/sbin", "/usr/local/opt/rabbitmq/sbin"}
}

// StartRabbitMQ starts n RabbitMQ nodes as one cluster.
func StartRabbitMQ(ctx context.Context, f *Folder, n int) ([]*RabbitMQ, error) {
	program, err := prepareRabbitMQ(f)
	if err != nil {
		return nil, err
	}
	epmd, err := startEpmd(f)
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(2 * n)
	if err != nil {
		return nil, err
	}
	nodes := make([]*RabbitMQ, n)
	for i := range nodes {
		r := &RabbitMQ{
			Process: &Process{name: fmt.Sprintf("rabbitmq-%d", i+1)}, folder: f, program: program,
			node: fmt.Sprintf("hikyaku%d@localhost", i+1), port: ports[2*i], dist: ports[2*i+1], epmd: epmd,
		}
		if r.dir, err = f.mkdir(r.name, nil); err != nil {
			return nil, err
		}
		nodes[i] = r
		// The first one is told of no other, for which it would wait.
		r.peers = []string{nodes[0].node}
		if i > 0 {
			r.peers = append(r.peers, r.node)
		}
		r.size = n
	}
	ctx, cancel := context.WithTimeout(ctx, 2*startTimeout)
	defer cancel()
	for i, r := range nodes {
		if err := r.launch(); err != nil {
			return nil, err
		}
		// The first alone: nodes that start side by side may each believe
		// that they are the first.
		if i == 0 {
			if err := r.ready(ctx, 1); err != nil {
				return nil, err
			}
		}
	}
	for _, r := range nodes {
		if err := r.ready(ctx, n); err != nil {
			return nil, err
		}
	}
	return nodes, nil
}

// rabbitProgram is what the nodes run.
type rabbitProgram struct {
	server  string // the script that starts a node
	plugins string // folder of the applications that may be plugins
	modules string // folder of modules; see linkModules
}

// prepareRabbitMQ finds the program and makes its folders.
func prepareRabbitMQ(f *Folder) (p rabbitProgram, err error) {
	if p.server, err = rabbitServer(); err != nil {
		return p, err
	}
	if p.plugins, err = f.mkdir("rabbitmq-plugins", nil); err != nil {
		return p, err
	}
	if p.modules, err = f.mkdir("rabbitmq-modules", nil); err != nil {
		return p, err
	}
	server, err := filepath.EvalSymlinks(p.server)
	if err != nil {
		return p, fmt.Errorf("find RabbitMQ's applications: %w", err)
	}
	applications, err := filepath.Glob(filepath.Join(filepath.Dir(filepath.Dir(server)), "plugins", "*"))
	if err != nil {
		return p, err
	}
	// A node puts all that may be plugins in front of the other folders of
	// modules. None is used; but it wants this one there, with the schema of
	// its settings, and finds the schema by where the modules are.
	var rabbit []string
	applications = slices.DeleteFunc(applications, func(a string) bool {
		is := strings.HasPrefix(filepath.Base(a), "rabbit-")
		if is {
			rabbit = append(rabbit, a)
		}
		return is
	})
	if len(rabbit) == 0 {
		return p, fmt.Errorf("%s has no application rabbit beside it; install the package rabbitmq-server again", server)
	}
	return p, errors.Join(linkAll(p.plugins, rabbit), linkModules(p.modules, applications))
}

// rabbitServer finds the original script: the one that Debian has on the path
// changes the user and drops the environment.
func rabbitServer() (string, error) {
	for _, place := range rabbitPlaces() {
		server := filepath.Join(place, "rabbitmq-server")
		if _, err := os.Stat(server); err == nil {
			return server, nil
		}
	}
	return findProgram("rabbitmq-server", "rabbitmq-server")
}

func (r *RabbitMQ) env() []string {
	return append(r.distEnv(),
		"RABBITMQ_NODENAME="+r.node,
		"RABBITMQ_MNESIA_BASE="+filepath.Join(r.dir, "data"),
		"RABBITMQ_LOG_BASE="+filepath.Join(r.dir, "log"),
		"RABBITMQ_SCHEMA_DIR="+filepath.Join(r.dir, "schema"),
		"RABBITMQ_GENERATED_CONFIG_DIR="+filepath.Join(r.dir, "config"),
		"RABBITMQ_CONFIG_FILES="+filepath.Join(r.dir, "conf.d"),
		"RABBITMQ_ADVANCED_CONFIG_FILE="+filepath.Join(r.dir, "advanced.config"),
		"RABBITMQ_ENABLED_PLUGINS_FILE="+filepath.Join(r.dir, "enabled_plugins"),
		"RABBITMQ_CONF_ENV_FILE=/dev/null",
		"RABBITMQ_PID_FILE="+filepath.Join(r.dir, "pid"),
		"RABBITMQ_DIST_PORT="+fmt.Sprint(r.dist),
		"RABBITMQ_PLUGINS_DIR="+r.program.plugins,
		"RABBITMQ_SERVER_CODE_PATH="+r.program.modules,
		// One scheduler, and none that waits for work by spinning: the
		// servers on this machine share its processors, and more of them
		// only take each other's time.
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-start_epmd false +S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}",
	)
}

// distEnv is what a program needs to call the node.
func (r *RabbitMQ) distEnv() []string {
	return []string{
		"HOME=" + r.folder.dir, // where it looks for the nodes' cookie
		"ERL_EPMD_PORT=" + fmt.Sprint(r.epmd), "ERL_EPMD_ADDRESS=127.0.0.1",
	}
}

// Start starts the node again with its data, after Stop or Kill.
func (r *RabbitMQ) Start(ctx context.Context) error {
	if err := r.launch(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*startTimeout)
	defer cancel()
	return r.ready(ctx, r.size)
}

func (r *RabbitMQ) launch() error {
	var own strings.Builder
	fmt.Fprintf(&own, "listeners.tcp.1 = 127.0.0.1:%d\n", r.port)
	fmt.Fprintf(&own, "default_pass = %s\n", r.folder.secrets.password)
	// The temporary folder may lie on a small disk.
	own.WriteString("disk_free_limit.absolute = 50MB\n")
	if r.size > 1 {
		own.WriteString("cluster_formation.peer_discovery_backend = classic_config\n")
		for i, peer := range r.peers {
			fmt.Fprintf(&own, "cluster_formation.classic_config.nodes.%d = %s\n", i+1, peer)
		}
	}
	conf := filepath.Join(r.dir, "conf.d")
	if err := os.MkdirAll(conf, 0o700); err != nil {
		return err
	}
	for path, text := range map[string]string{
		filepath.Join(conf, "20-hikyaku.conf"):        deploy.RabbitMQ,
		filepath.Join(r.dir, "advanced.config"):       deploy.RabbitMQAdvanced,
		filepath.Join(conf, "30-own.conf"):            own.String(),
		filepath.Join(r.dir, "enabled_plugins"):       "[].\n",
		filepath.Join(r.folder.dir, ".erlang.cookie"): r.folder.secrets.cookie,
	} {
		if _, err := os.Stat(path); err == nil {
			continue
		}
		if err := os.WriteFile(path, []byte(text), 0o400); err != nil {
			return err
		}
	}
	process, err := r.folder.start(command{
		name: r.name, path: r.program.server, env: r.env(), dir: r.dir,
	})
	if err != nil {
		return err
	}
	r.Process = process
	return nil
}

// ResumeRabbitMQ continues a node of a cluster that was paused, and waits until all
// nodes serve clients and know each other. One that was paused for long was dead for
// the others, and starts RabbitMQ again when it hears of that.
func ResumeRabbitMQ(ctx context.Context, nodes []*RabbitMQ, paused *RabbitMQ) error {
	if err := paused.Resume(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*startTimeout)
	defer cancel()
	// The others know of it when it has come back; what it says itself until
	// then is of before.
	for _, r := range append(slices.DeleteFunc(slices.Clone(nodes), func(r *RabbitMQ) bool { return r == paused }), paused) {
		if err := r.ready(ctx, len(nodes)); err != nil {
			return err
		}
	}
	return nil
}

// ready waits until the node serves clients and knows its n-1 peers, and until each
// queue has a majority without it, where there can be one.
func (r *RabbitMQ) ready(ctx context.Context, n int) error {
	if err := r.waitFor(ctx, func(context.Context) error {
		conn, err := amqp.Dial(r.URL())
		if err != nil {
			return err
		}
		return conn.Close()
	}); err != nil || n < 2 {
		return err
	}
	return r.waitFor(ctx, func(ctx context.Context) error {
		running, err := r.evaluate(ctx, "length(rabbit_nodes:all_running())")
		if err != nil || running != fmt.Sprint(n) {
			return cmp.Or(err, fmt.Errorf("%s of %d nodes run", running, n))
		}
		if n < 3 {
			return nil
		}
		critical, err := r.evaluate(ctx, "length(rabbit_quorum_queue:list_with_minimum_quorum())")
		if err == nil && critical != "0" {
			err = fmt.Errorf("%s queues have no majority without %s", critical, r.node)
		}
		return err
	})
}

// evaluate evaluates Erlang expressions on the node, and returns the value of the
// last one as Erlang prints it.
//
// rabbitmqctl starts a virtual machine for what it does, which takes a hundred
// times as long. The functions are those that it calls, in RabbitMQ 3.10 and 4.
func (r *RabbitMQ) evaluate(ctx context.Context, expressions string) (string, error) {
	return r.folder.erlCall(ctx, r.node, r.distEnv(), expressions)
}

// URL returns the node's address, with the virtual host "/".
func (r *RabbitMQ) URL() string {
	return fmt.Sprintf("amqp://guest:%s@127.0.0.1:%d/", r.folder.secrets.password, r.port)
}

// CreateVHost creates a virtual host and returns its address. Tests that share
// a node have one each.
func (r *RabbitMQ) CreateVHost(ctx context.Context, name string) (string, error) {
	_, err := r.evaluate(ctx, fmt.Sprintf(`ok = rabbit_vhost:add(<<%[1]q>>, <<"hikyaku">>),
		ok = rabbit_auth_backend_internal:set_permissions(<<"guest">>, <<%[1]q>>, <<".*">>, <<".*">>, <<".*">>, <<"hikyaku">>)`, name))
	if err != nil {
		return "", fmt.Errorf("create the virtual host %s: %w", name, err)
	}
	return r.URL() + name, nil
}

// CloseConnections has the node close all of its connections to a virtual host.
func (r *RabbitMQ) CloseConnections(ctx context.Context, vhost string) error {
	_, err := r.evaluate(ctx, fmt.Sprintf(`[ok = rabbit_networking:close_connection(P, "by stack")
		|| [{pid, P}, {vhost, <<%q>>}] <- rabbit_networking:connection_info_all([pid, vhost])]`, vhost))
	if err != nil {
		return fmt.Errorf("close the connections to the virtual host %s: %w", vhost, err)
	}
	return nil
}

// SuspendQueue has a quorum queue take no more part in anything, as one does whose
// leader is gone, while the node and its other queues go on. The node must be the
// queue's only one.
func (r *RabbitMQ) SuspendQueue(ctx context.Context, vhost, queue string) error {
	return r.callQueue(ctx, "suspend", vhost, queue)
}

// ResumeQueue ends what SuspendQueue has begun.
func (r *RabbitMQ) ResumeQueue(ctx context.Context, vhost, queue string) error {
	return r.callQueue(ctx, "resume", vhost, queue)
}

func (r *RabbitMQ) callQueue(ctx context.Context, function, vhost, queue string) error {
	_, err := r.evaluate(ctx, fmt.Sprintf(`{ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(<<%q>>, queue, <<%q>>)), ok = sys:%s(amqqueue:get_pid(Q))`, vhost, queue, function))
	if err != nil {
		return fmt.Errorf("%s the queue %s: %w", function, queue, err)
	}
	return nil
}
