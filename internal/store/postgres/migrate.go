package postgres

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/hikyaku-chat/hikyaku/internal/store/storetx"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrate updates the schema of the database. Several processes may call it at
// the same time: one migrates, the others wait.
func Migrate(ctx context.Context, url string, log *slog.Logger) error {
	cfg, err := parse("--database", url)
	if err != nil {
		return err
	}
	db := stdlib.OpenDB(*cfg.ConnConfig)
	defer func() { _ = db.Close() }()
	if err := checkServer(ctx, db); err != nil {
		return explain(err)
	}
	// A lock in a table: a session's advisory lock does not work through
	// PgBouncer.
	locker, err := lock.NewPostgresTableLocker(lock.WithTableLockTimeout(time.Second, 120))
	if err != nil {
		return err
	}
	p, err := newProvider(db, goose.WithLocker(locker))
	if err != nil {
		return err
	}
	have, want, err := p.GetVersions(ctx)
	if err != nil {
		return explain(err)
	}
	if have > want {
		return schemaTooNew(have, want)
	}
	done, err := p.Up(ctx)
	if err != nil {
		return explain(err)
	}
	for _, d := range done {
		log.Info("migrated", "version", d.Source.Version, "took", d.Duration)
	}
	return nil
}

func newProvider(db *sql.DB, options ...goose.ProviderOption) (*goose.Provider, error) {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectPostgres, db, dir, append(options, goose.WithDisableGlobalRegistry(true),
		goose.WithGoMigrations(storetx.Refold(7, "id", "$"), storetx.Reskeleton(8, "$")), goose.WithSlog(slog.New(slog.DiscardHandler)))...)
}

// minServerVersion is the oldest server version that supports the statements.
const minServerVersion = 15_00_00

func checkServer(ctx context.Context, db *sql.DB) error {
	var version int
	var encoding string
	if err := db.QueryRowContext(ctx, `SELECT current_setting('server_version_num')::int, pg_encoding_to_char(encoding)
		FROM pg_database WHERE datname = current_database()`).Scan(&version, &encoding); err != nil {
		return err
	}
	switch {
	case version < minServerVersion:
		return fmt.Errorf("--database: the server is PostgreSQL %d; Hikyaku needs 15 or newer", version/10000)
	case encoding != "UTF8":
		return fmt.Errorf("--database: the database's encoding is %s; create it with ENCODING 'UTF8' TEMPLATE template0", encoding)
	}
	return nil
}

func schemaTooNew(have, want int64) error {
	return fmt.Errorf("--database: the schema has version %d but this hikyaku knows versions up to %d; start the newer hikyaku that migrated it", have, want)
}

// checkSchema returns an error when this program cannot use the schema.
func checkSchema(ctx context.Context, cfg *pgx.ConnConfig) error {
	db := stdlib.OpenDB(*cfg)
	defer func() { _ = db.Close() }()
	if err := checkServer(ctx, db); err != nil {
		return explain(err)
	}
	var exists bool
	if err := db.QueryRowContext(ctx, `SELECT to_regclass($1) IS NOT NULL`, goose.DefaultTablename).Scan(&exists); err != nil {
		return explain(err)
	}
	if !exists {
		return errors.New("--database: the database is empty; run hikyaku migrate first")
	}
	p, err := newProvider(db)
	if err != nil {
		return err
	}
	have, want, err := p.GetVersions(ctx)
	switch {
	case err != nil:
		return explain(err)
	case have > want:
		return schemaTooNew(have, want)
	case have < want:
		return fmt.Errorf("--database: the schema has version %d and this hikyaku needs %d; run hikyaku migrate first", have, want)
	}
	return nil
}
