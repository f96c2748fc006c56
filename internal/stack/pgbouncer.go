package stack

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"
)

// PgBouncer is a running connection pool for a PostgreSQL, in transaction mode.
type PgBouncer struct {
	*Process
	port   int
	server *Postgres
}

// StartPgBouncer starts a PgBouncer for a server.
func StartPgBouncer(ctx context.Context, f *Folder, to *Postgres) (*PgBouncer, error) {
	program, err := findProgram("pgbouncer", "pgbouncer", "/usr/sbin")
	if err != nil {
		return nil, err
	}
	user, err := unprivilegedUser("postgres")
	if err != nil {
		return nil, err
	}
	dir, err := f.mkdir("pgbouncer", user)
	if err != nil {
		return nil, err
	}
	// By it clients prove who they are, and PgBouncer does before the server.
	accounts, err := f.secretFile("pgbouncer.accounts", fmt.Sprintf("\"postgres\" \"%s\"\n", to.folder.secrets.password), user)
	if err != nil {
		return nil, err
	}
	b := &PgBouncer{server: to}
	if b.port, err = FreePort(); err != nil {
		return nil, err
	}
	conf := fmt.Sprintf(`[databases]
* = host=127.0.0.1 port=%d
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = scram-sha-256
auth_file = %s
pool_mode = transaction
max_client_conn = 500
default_pool_size = 10
ignore_startup_parameters = extra_float_digits
logfile =
pidfile =
`, to.port, b.port, accounts)
	path := filepath.Join(dir, "pgbouncer.ini")
	if err := os.WriteFile(path, []byte(conf), 0o644); err != nil { //nolint:gosec // another account reads it, and it holds no secret
		return nil, err
	}
	if b.Process, err = f.start(command{name: "pgbouncer", path: program, args: []string{path}, dir: dir, user: user}); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return b, b.waitFor(ctx, func(ctx context.Context) error {
		conn, err := pgx.Connect(ctx, b.URL(to.URL("postgres"))+"&default_query_exec_mode=exec")
		if err != nil {
			return err
		}
		return conn.Close(ctx)
	})
}

// URL returns the address of a database of the server through the pool.
func (b *PgBouncer) URL(url string) string {
	return strings.Replace(url, fmt.Sprintf(":%d/", b.server.port), fmt.Sprintf(":%d/", b.port), 1)
}
