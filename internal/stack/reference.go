package stack

import (
	"context"
	_ "embed"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

// Reference is the design that Hikyaku started from, in its own technologies
// (reference/README.md), to compare with Hikyaku.
type Reference struct {
	Postgres *Postgres
	RabbitMQ *RabbitMQ
	Redis    *Redis
	Gateways []*Process
	Workers  []*Process

	folder *Folder
	dir    string
	ports  []int // of the gateways
}

//go:embed reference/app.py
var referenceProgram string

const (
	// referencePython is Debian's Python, which finds Debian's modules.
	referencePython   = "/usr/bin/python3"
	referenceDatabase = "reference"
)

// StartReference starts the reference stack in a folder; closing the folder
// ends it. Its servers are configured as for Hikyaku, without replicas.
func StartReference(ctx context.Context, f *Folder, o ReferenceOptions) (*Reference, error) {
	o = o.WithDefaults()
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if err := checkReferenceModules(ctx); err != nil {
		return nil, err
	}
	r := &Reference{folder: f}
	var err error
	if r.dir, err = f.mkdir("reference", nil); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(r.dir, "app.py"), []byte(referenceProgram), 0o600); err != nil {
		return nil, err
	}
	if r.ports, err = o.gatewayPorts(); err != nil {
		return nil, err
	}
	if err := r.startServers(ctx); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	// One after the other: each worker makes the table where it is missing.
	for i := range o.Workers {
		p, err := r.launch(fmt.Sprintf("worker-%d", i+1), "worker")
		if err != nil {
			return nil, err
		}
		r.Workers = append(r.Workers, p)
		if err := p.waitFor(ctx, r.hasTable); err != nil {
			return nil, err
		}
	}
	for i, port := range r.ports {
		p, err := r.launch(fmt.Sprintf("ws-%d", i+1), "ws", fmt.Sprint(port))
		if err != nil {
			return nil, err
		}
		r.Gateways = append(r.Gateways, p)
	}
	for i, p := range r.Gateways {
		// One that serves has its connections, and knows no page.
		if err := p.waitFor(ctx, getsStatus(r.URLs()[i], http.StatusNotFound)); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (o ReferenceOptions) gatewayPorts() ([]int, error) {
	if o.Port == 0 {
		return freePorts(o.Gateways)
	}
	ports := make([]int, o.Gateways)
	for i := range ports {
		ports[i] = o.Port + i
		if err := checkPort(ports[i]); err != nil {
			return nil, err
		}
	}
	return ports, nil
}

// checkReferenceModules checks that the program's modules are installed, before
// servers are started for it.
func checkReferenceModules(ctx context.Context) error {
	const look = "import importlib.util as u\n" +
		"print(*(m for m in ('fastapi', 'uvicorn', 'uvloop', 'httptools', 'websockets', 'aio_pika', 'asyncpg', 'redis') if not u.find_spec(m)))"
	out, err := exec.CommandContext(ctx, referencePython, "-c", look).Output()
	if err != nil {
		return fmt.Errorf("the reference stack needs Debian's %s: %w; run scripts/systems", referencePython, err)
	}
	if missing := strings.TrimSpace(string(out)); missing != "" {
		return fmt.Errorf("the reference stack needs Python's modules %s, which are not installed; run scripts/systems", missing)
	}
	return nil
}

func (r *Reference) startServers(ctx context.Context) error {
	var start errgroup.Group
	start.Go(func() (err error) {
		if r.Postgres, err = StartPostgres(ctx, r.folder, "postgresql"); err == nil {
			_, err = r.Postgres.CreateDatabase(ctx, referenceDatabase)
		}
		return err
	})
	start.Go(func() error {
		nodes, err := StartRabbitMQ(ctx, r.folder, 1)
		if err == nil {
			r.RabbitMQ = nodes[0]
		}
		return err
	})
	start.Go(func() (err error) {
		r.Redis, err = StartRedis(ctx, r.folder, "redis")
		return err
	})
	return start.Wait()
}

func (r *Reference) launch(name string, args ...string) (*Process, error) {
	return r.folder.start(command{
		name: "reference-" + name, path: referencePython, args: append([]string{"app.py"}, args...), dir: r.dir,
		env: []string{"AMQP_URL=" + r.RabbitMQ.URL(), "REDIS_URL=" + r.Redis.URL(), "PG_DSN=" + r.Database()},
	})
}

func (r *Reference) hasTable(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, r.Database())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, "SELECT 1 FROM ref_messages LIMIT 1")
	return err
}

// URLs returns the addresses of the gateways.
func (r *Reference) URLs() []string {
	urls := make([]string, len(r.ports))
	for i, port := range r.ports {
		urls[i] = fmt.Sprintf("http://127.0.0.1:%d", port)
	}
	return urls
}

// Database returns the address of the database with the messages.
func (r *Reference) Database() string { return r.Postgres.URL(referenceDatabase) }
