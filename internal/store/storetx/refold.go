package storetx

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/pressly/goose/v3"

	"github.com/hikyaku-chat/hikyaku/internal/textfold"
)

// Refold returns the migration that folds all names anew, after [textfold.Fold] has
// changed. version is its number; key is the primary key of conversations; mark is
// the prefix of a numbered parameter. It may be repeated after it was interrupted, and
// there is nothing to undo: another version finds with another fold what that can
// find.
func Refold(version int64, key, mark string) *goose.Migration {
	return goose.NewGoMigration(version, &goose.GoFunc{RunDB: func(ctx context.Context, db *sql.DB) error {
		for _, t := range []foldedTable{
			{name: "users", key: "id", texts: [2]string{"name", "display_name"}, folds: [2]string{"name_fold", "display_fold"}},
			{name: "conversations", key: key, texts: [2]string{"title", "topic"}, folds: [2]string{"title_fold", "topic_fold"}},
		} {
			if err := t.refold(ctx, db, mark); err != nil {
				return fmt.Errorf("fold the names of %s: %w", t.name, err)
			}
		}
		return nil
	}}, &goose.GoFunc{Mode: goose.TransactionEnabled})
}

// refoldBatch is how many rows are folded in one transaction: their locks keep others
// from changing them meanwhile.
const refoldBatch = 200

type foldedTable struct {
	name, key    string
	texts, folds [2]string
}

type foldedRow struct {
	key          int64
	texts, folds [2]string
}

func (t *foldedTable) refold(ctx context.Context, db *sql.DB, mark string) error {
	list := fmt.Sprintf("SELECT %[1]s, %[2]s, %[3]s, %[4]s, %[5]s FROM %[6]s WHERE %[1]s > %[7]s1 ORDER BY %[1]s LIMIT %[8]d",
		t.key, t.texts[0], t.texts[1], t.folds[0], t.folds[1], t.name, mark, refoldBatch)
	// A name that was changed since it was read has been folded by who changed it.
	update := fmt.Sprintf("UPDATE %[1]s SET %[2]s = %[6]s1, %[3]s = %[6]s2 WHERE %[4]s = %[6]s3 AND %[7]s = %[6]s4 AND %[5]s = %[6]s5",
		t.name, t.folds[0], t.folds[1], t.key, t.texts[1], mark, t.texts[0])
	for after := int64(-1); ; {
		rows, err := t.read(ctx, db, list, after)
		if err != nil || len(rows) == 0 {
			return err
		}
		after = rows[len(rows)-1].key
		if err := writeFolds(ctx, db, update, rows); err != nil {
			return err
		}
	}
}

func (t *foldedTable) read(ctx context.Context, db *sql.DB, query string, after int64) (out []foldedRow, err error) {
	rows, err := db.QueryContext(ctx, query, after)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var r foldedRow
		if err := rows.Scan(&r.key, &r.texts[0], &r.texts[1], &r.folds[0], &r.folds[1]); err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, rows.Err()
}

// writeFolds updates the rows whose folds are not what they are now.
func writeFolds(ctx context.Context, db *sql.DB, update string, rows []foldedRow) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // nothing after a commit
	for _, r := range rows {
		folds := [2]string{textfold.Fold(r.texts[0]), textfold.Fold(r.texts[1])}
		if folds == r.folds {
			continue
		}
		if _, err := tx.ExecContext(ctx, update, folds[0], folds[1], r.key, r.texts[0], r.texts[1]); err != nil {
			return err
		}
	}
	return tx.Commit()
}
