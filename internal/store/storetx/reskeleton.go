package storetx

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/pressly/goose/v3"

	"github.com/hikyaku-chat/hikyaku/internal/username"
)

// Reskeleton returns the migration that derives the skeletons of all names anew,
// after [username.Skeleton] has changed. version is its number; mark is the prefix of
// a numbered parameter.
//
// Names that were different before and look alike now keep their accounts: one of them
// has the skeleton, so that there is no further one, and the others keep theirs. It may
// be repeated after it was interrupted, and there is nothing to undo.
func Reskeleton(version int64, mark string) *goose.Migration {
	return goose.NewGoMigration(version, &goose.GoFunc{RunDB: func(ctx context.Context, db *sql.DB) error {
		for {
			// What a name has given up may be what another waited for.
			changed, err := reskeletonAll(ctx, db, mark)
			if err != nil {
				return fmt.Errorf("derive the skeletons of names: %w", err)
			}
			if changed == 0 {
				return nil
			}
		}
	}}, &goose.GoFunc{Mode: goose.TransactionEnabled})
}

// reskeletonAll goes through all accounts once, the oldest first, and returns how many
// have another skeleton now.
func reskeletonAll(ctx context.Context, db *sql.DB, mark string) (changed int64, err error) {
	list := fmt.Sprintf("SELECT id, name, skeleton FROM users WHERE id > %s1 ORDER BY id LIMIT %d", mark, refoldBatch)
	taken := fmt.Sprintf("SELECT 1 FROM users WHERE skeleton = %s1", mark)
	update := fmt.Sprintf("UPDATE users SET skeleton = %[1]s1 WHERE id = %[1]s2 AND NOT EXISTS (SELECT 1 FROM users WHERE skeleton = %[1]s1)", mark)
	for after := int64(-1); ; {
		names, err := readNames(ctx, db, list, after)
		if err != nil || len(names) == 0 {
			return changed, err
		}
		after = names[len(names)-1].id
		for _, n := range names {
			skeleton := username.Skeleton(n.name)
			if skeleton == n.skeleton {
				continue
			}
			result, err := db.ExecContext(ctx, update, skeleton, n.id)
			if err != nil {
				// Somebody may have registered at that moment.
				if one := 0; db.QueryRowContext(ctx, taken, skeleton).Scan(&one) == nil {
					continue
				}
				return changed, err
			}
			rows, err := result.RowsAffected()
			if err != nil {
				return changed, err
			}
			changed += rows
		}
	}
}

type accountName struct {
	id             int64
	name, skeleton string
}

func readNames(ctx context.Context, db *sql.DB, query string, after int64) (out []accountName, err error) {
	rows, err := db.QueryContext(ctx, query, after)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var n accountName
		if err := rows.Scan(&n.id, &n.name, &n.skeleton); err != nil {
			return nil, err
		}
		out = append(out, n)
	}
	return out, rows.Err()
}
