package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sys/unix"

	"github.com/hikyaku-chat/hikyaku/deploy"
)

// startTimeout bounds the start of any server.
const startTimeout = 3 * time.Minute

// Postgres is a running PostgreSQL.
type Postgres struct {
	*Process
	folder *Folder
	bin    string // folder of its programs
	data   string
	port   int
	user   *syscall.Credential
}

func postgresPlaces() []string {
	return []string{"/usr/lib/postgresql/*/bin", "/opt/homebrew/opt/postgresql@*/bin", "/usr/local/opt/postgresql@*/bin"}
}

// StartPostgres starts a PostgreSQL with empty databases, durable as in
// production.
func StartPostgres(ctx context.Context, f *Folder, name string) (*Postgres, error) {
	p, err := newPostgres(f, name)
	if err != nil {
		return nil, err
	}
	password, err := f.secretFile(name+".password", f.secrets.password, p.user)
	if err != nil {
		return nil, err
	}
	if err := p.run(ctx, "initdb", "-D", p.data, "-U", "postgres", "-A", "scram-sha-256", "--pwfile", password, "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"); err != nil {
		return nil, err
	}
	return p, p.Start(ctx)
}

func newPostgres(f *Folder, name string) (*Postgres, error) {
	server, err := findProgram("postgres", "postgresql", postgresPlaces()...)
	if err != nil {
		return nil, err
	}
	if server, err = filepath.EvalSymlinks(server); err != nil {
		return nil, err
	}
	p := &Postgres{folder: f, bin: filepath.Dir(server)}
	p.Process = &Process{name: name}
	if p.user, err = unprivilegedUser("postgres"); err != nil {
		return nil, err
	}
	if p.data, err = f.mkdir(name, p.user); err != nil {
		return nil, err
	}
	p.port, err = FreePort()
	return p, err
}

// run runs one of PostgreSQL's programs.
func (p *Postgres) run(ctx context.Context, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(p.bin, program), args...)
	cmd.Dir = p.data
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8", "TZ=UTC", "PGPASSWORD=" + p.folder.secrets.password}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.user}
	if out, err := p.folder.output(cmd); err != nil {
		return fmt.Errorf("%s: %w: %s", program, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// Start starts the server again, after Stop or Kill.
func (p *Postgres) Start(ctx context.Context) error {
	// The shared settings first; what follows is this private process's own.
	conf := deploy.PostgreSQL + fmt.Sprintf("\nport = %d\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = ''\n", p.port)
	path := filepath.Join(p.data, "hikyaku.conf")
	if err := os.WriteFile(path, []byte(conf), 0o644); err != nil { //nolint:gosec // another account reads it, and it holds no secret
		return err
	}
	process, err := p.folder.start(command{
		name: p.name, path: filepath.Join(p.bin, "postgres"),
		args: []string{
			"-D", p.data, "-c", "config_file=" + path, "-c", "data_directory=" + p.data,
			"-c", "hba_file=" + filepath.Join(p.data, "pg_hba.conf"), "-c", "ident_file=" + filepath.Join(p.data, "pg_ident.conf"),
		},
		dir: p.data, user: p.user,
	})
	if err != nil {
		return err
	}
	p.Process = process
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return process.waitFor(ctx, func(ctx context.Context) error {
		conn, err := pgx.Connect(ctx, p.URL("postgres"))
		if err != nil {
			return err
		}
		return conn.Close(ctx)
	})
}

// Pause suspends the server (SIGSTOP): the process that accepts connections first,
// and then those that serve them, which have sessions of their own.
func (p *Postgres) Pause() error {
	if err := p.Process.Pause(); err != nil {
		return err
	}
	return p.signalChildren(unix.SIGSTOP)
}

// Resume continues a suspended server.
func (p *Postgres) Resume() error {
	return errors.Join(p.signalChildren(unix.SIGCONT), p.Process.Resume())
}

// signalChildren sends a signal to the processes that serve connections.
func (p *Postgres) signalChildren(s unix.Signal) error {
	out, err := exec.CommandContext(context.Background(), "ps", "-A", "-o", "pid=,ppid=").Output()
	if err != nil {
		return fmt.Errorf("find the children of %s: %w", p.name, err)
	}
	for line := range strings.Lines(string(out)) {
		var pid, parent int
		if _, err := fmt.Sscan(line, &pid, &parent); err != nil || parent != p.PID() {
			continue
		}
		if err := unix.Kill(pid, s); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("signal a child of %s: %w", p.name, err)
		}
	}
	return nil
}

// Port returns the port that the server listens on.
func (p *Postgres) Port() int { return p.port }

// URL returns the address of a database.
func (p *Postgres) URL(database string) string {
	return fmt.Sprintf("postgres://postgres:%s@127.0.0.1:%d/%s?sslmode=disable", p.folder.secrets.password, p.port, database)
}

// CreateDatabase creates an empty database and returns its address.
func (p *Postgres) CreateDatabase(ctx context.Context, database string) (string, error) {
	if err := p.Exec(ctx, "postgres", "CREATE DATABASE "+pgx.Identifier{database}.Sanitize()+" TEMPLATE template0"); err != nil {
		return "", fmt.Errorf("create the database %s: %w", database, err)
	}
	return p.URL(database), nil
}

// Exec runs one statement.
func (p *Postgres) Exec(ctx context.Context, database, sql string) error {
	conn, err := pgx.Connect(ctx, p.URL(database))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, sql)
	return err
}

// StartReplica starts a streaming replica of p.
func (p *Postgres) StartReplica(ctx context.Context, name string) (*Postgres, error) {
	r, err := newPostgres(p.folder, name)
	if err != nil {
		return nil, err
	}
	// It leaves the password for the replica in its settings.
	if err := r.run(ctx, "pg_basebackup", "-h", "127.0.0.1", "-p", fmt.Sprint(p.port), "-U", "postgres",
		"-D", r.data, "-R", "-X", "stream", "-c", "fast", "--no-sync"); err != nil {
		return nil, err
	}
	return r, r.Start(ctx)
}

// Dump writes a database into a file, by pg_dump, and returns its path.
func (p *Postgres) Dump(ctx context.Context, database string) (path string, err error) {
	path = filepath.Join(p.data, database+".dump")
	return path, p.run(ctx, "pg_dump", "-h", "127.0.0.1", "-p", fmt.Sprint(p.port), "-U", "postgres", "-F", "custom", "-f", path, database)
}

// Restore restores what Dump wrote into an empty database.
func (p *Postgres) Restore(ctx context.Context, database, path string) error {
	return p.run(ctx, "pg_restore", "-h", "127.0.0.1", "-p", fmt.Sprint(p.port), "-U", "postgres", "-d", database, path)
}
