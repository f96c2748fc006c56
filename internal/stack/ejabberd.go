package stack

import (
	"context"
	_ "embed"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"github.com/jackc/pgx/v5"
)

// Ejabberd is a running ejabberd with its archive in a PostgreSQL, to compare
// with Hikyaku.
type Ejabberd struct {
	*Process
	Postgres *Postgres

	folder  *Folder
	program string // Erlang
	library string // folder of ejabberd's code
	dir     string
	port    int
}

//go:embed ejabberd/ejabberd.yml
var ejabberdSettings string

const ejabberdDatabase = "ejabberd"

// StartEjabberd starts an ejabberd in a folder; closing the folder ends it. It
// stores every message as durably as Hikyaku, and has no rate limits.
func StartEjabberd(ctx context.Context, f *Folder, o EjabberdOptions) (*Ejabberd, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	e := &Ejabberd{Process: &Process{name: "ejabberd"}, folder: f, port: o.Port}
	var err error
	if e.program, err = findProgram("erl", "erlang-base"); err != nil {
		return nil, err
	}
	if e.library, err = ejabberdLibrary(); err != nil {
		return nil, err
	}
	if e.dir, err = f.mkdir("ejabberd", nil); err != nil {
		return nil, err
	}
	if o.Port == 0 {
		if e.port, err = FreePort(); err != nil {
			return nil, err
		}
	} else if err := checkPort(o.Port); err != nil {
		return nil, err
	}
	if e.Postgres, err = StartPostgres(ctx, f, "postgresql"); err != nil {
		return nil, err
	}
	if err := e.makeTables(ctx); err != nil {
		return nil, err
	}
	return e, e.Start(ctx)
}

// ejabberdLibrary returns the folder of ejabberd's code in Debian.
func ejabberdLibrary() (string, error) {
	found, err := filepath.Glob("/usr/lib/*/ejabberd-*/ebin/ejabberd.beam")
	if err != nil || len(found) == 0 {
		return "", fmt.Errorf("ejabberd is not installed (Debian's package was looked for); run scripts/systems")
	}
	driver, err := filepath.Glob("/usr/lib/erlang/lib/p1_pgsql-*/ebin")
	if err != nil || len(driver) == 0 {
		return "", fmt.Errorf("ejabberd's driver for PostgreSQL is not installed; install the package erlang-p1-pgsql, or run scripts/systems")
	}
	return filepath.Dir(filepath.Dir(filepath.Dir(found[0]))), nil
}

// ejabberdTables is the path of ejabberd's database schema in Debian.
const ejabberdTables = "/usr/share/ejabberd/sql/pg.sql"

func (e *Ejabberd) makeTables(ctx context.Context) error {
	url, err := e.Postgres.CreateDatabase(ctx, ejabberdDatabase)
	if err != nil {
		return err
	}
	tables, err := os.ReadFile(ejabberdTables)
	if err != nil {
		return fmt.Errorf("make ejabberd's tables: %w", err)
	}
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	// Many statements at once.
	if _, err := conn.PgConn().Exec(ctx, string(tables)).ReadAll(); err != nil {
		return fmt.Errorf("make ejabberd's tables: %w", err)
	}
	return nil
}

// Start starts the server again with its data, after Stop or Kill.
func (e *Ejabberd) Start(ctx context.Context) error {
	values := map[string]string{
		"PORT": fmt.Sprint(e.port), "SQL_PORT": fmt.Sprint(e.Postgres.Port()),
		"SQL_DATABASE": ejabberdDatabase, "SQL_PASSWORD": e.folder.secrets.password,
	}
	settings := filepath.Join(e.dir, "ejabberd.yml")
	inetrc := filepath.Join(e.dir, "inetrc")
	for path, text := range map[string]string{
		settings: os.Expand(ejabberdSettings, func(name string) string { return values[name] }),
		// Names are looked up as everybody does it.
		inetrc: "{lookup, [native]}.\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return err
		}
	}
	// What Debian's ejabberdctl does, without a name: a node that no other
	// can reach needs no cookie and no epmd. It has a scheduler for each
	// processor, and none that waits for work by spinning: it shares them
	// with PostgreSQL and the load tool.
	process, err := e.folder.start(command{
		name: e.name, path: e.program, dir: e.dir,
		args: []string{
			"-noinput", "+K", "true", "+P", "250000", "+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none",
			"-mnesia", "dir", `"` + filepath.Join(e.dir, "spool") + `"`, "-s", "ejabberd",
		},
		env: []string{
			"ERL_LIBS=" + e.library, "ERL_MAX_PORTS=32000", "ERL_MAX_ETS_TABLES=1400", "ERL_CRASH_DUMP_BYTES=0", "ERL_INETRC=" + inetrc,
			"EJABBERD_CONFIG_PATH=" + settings, "EJABBERD_LOG_PATH=" + filepath.Join(e.dir, "log", "ejabberd.log"),
		},
	})
	if err != nil {
		return err
	}
	e.Process = process
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return process.waitFor(ctx, getsStatus(e.URL()+"/ws", http.StatusOK)) // a page that says what is there
}

// URL returns the address of the server; clients connect to /ws.
func (e *Ejabberd) URL() string { return fmt.Sprintf("http://127.0.0.1:%d", e.port) }
