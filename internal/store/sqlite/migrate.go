package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"

	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/store/storetx"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrate updates the schema. It refuses files of other programs and of newer
// versions.
func migrate(ctx context.Context, path string) (err error) {
	db, err := sql.Open("sqlite", dsn(path)+"&_txlock=immediate")
	if err != nil {
		return err
	}
	defer func() {
		if e := db.Close(); err == nil {
			err = e
		}
	}()
	var tables, ours int
	if err := db.QueryRowContext(ctx, `SELECT count(*), count(*) FILTER (WHERE name = ?) FROM sqlite_master`,
		goose.DefaultTablename).Scan(&tables, &ours); err != nil {
		return err
	}
	if tables > 0 && ours == 0 {
		return &store.DatabaseError{
			Text:  fmt.Sprintf("the database %s belongs to another program; give another path", path),
			Cause: fs.ErrInvalid,
		}
	}
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, dir, goose.WithDisableGlobalRegistry(true),
		goose.WithGoMigrations(storetx.Refold(7, "slot", "?"), storetx.Reskeleton(8, "?")))
	if err != nil {
		return err
	}
	have, want, err := p.GetVersions(ctx)
	switch {
	case err != nil:
		return err
	case have > want:
		return &store.DatabaseError{
			Text: fmt.Sprintf("the database %s has version %d but this program knows versions up to %d; "+
				"install the newer Hikyaku that made it, or restore a backup", path, have, want),
			Cause: fs.ErrInvalid,
		}
	case have == want:
		return nil
	}
	if _, err := p.Up(ctx); err != nil {
		// Another process may have migrated at the same time.
		if have, _, e := p.GetVersions(ctx); e == nil && have == want {
			return nil
		}
		return err
	}
	return nil
}
