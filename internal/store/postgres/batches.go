package postgres

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/store/storetx"
	"github.com/hikyaku-chat/hikyaku/internal/textfold"
)

// lockBatch finds a batch by name and locks it: FOR SHARE against its removal,
// FOR UPDATE exclusively.
func (t *tx) lockBatch(name, lock string) (b storetx.Batch, found bool, err error) {
	found, err = t.queryRow([]any{&b.ID, &b.Stage, &b.Reached}, `SELECT id, stage, reached FROM batches WHERE name = $1 `+lock, name)
	return b, found, err
}

// LockBatch finds a batch and locks it exclusively.
func (t *tx) LockBatch(name string) (storetx.Batch, bool, error) {
	return t.lockBatch(name, `FOR UPDATE`)
}

// ShareLockBatch finds a batch and locks it against removal.
func (t *tx) ShareLockBatch(name string) (storetx.Batch, bool, error) {
	return t.lockBatch(name, `FOR SHARE`)
}

// EnsureBatch does the same as ShareLockBatch, and creates the batch when there
// is none.
func (t *tx) EnsureBatch(name string) (storetx.Batch, bool, error) {
	id, err := t.newID()
	if err != nil {
		return storetx.Batch{}, false, err
	}
	if _, err := t.exec(`INSERT INTO batches (id, name, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, id, name, t.now()); err != nil {
		return storetx.Batch{}, false, err
	}
	return t.ShareLockBatch(name)
}

// SaveBatch stores how far a removal has come.
func (t *tx) SaveBatch(b storetx.Batch) error {
	_, err := t.exec(`UPDATE batches SET stage = $2, reached = $3 WHERE id = $1`, b.ID, b.Stage, b.Reached)
	return err
}

// DeleteBatch removes a batch that has no accounts any more.
func (t *tx) DeleteBatch(b storetx.Batch) error {
	_, err := t.exec(`DELETE FROM batches WHERE id = $1`, b.ID)
	return err
}

// InsertBatchAccounts stores accounts of a batch.
func (t *tx) InsertBatchAccounts(b storetx.Batch, as []chat.User, users []store.NewBatchUser) (taken int, err error) {
	ids, columns, times := make([]int64, len(users)), [6][]string{}, make([]time.Time, len(users))
	for i, u := range users {
		ids[i], times[i] = int64(as[i].ID), as[i].CreatedAt
		for c, value := range []string{u.Name, u.Skeleton, u.DisplayName, textfold.Fold(u.Name), textfold.Fold(u.DisplayName), u.Password} {
			columns[c] = append(columns[c], value)
		}
	}
	rows, err := t.Query(t.ctx, `INSERT INTO users (id, name, skeleton, display_name, name_fold, display_fold, password, created_at, admin, batch)
		SELECT k.*, false, $9::bigint
		FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::timestamptz[]) k
		ON CONFLICT DO NOTHING RETURNING id`,
		ids, columns[0], columns[1], columns[2], columns[3], columns[4], columns[5], times, b.ID)
	if err != nil {
		return -1, err
	}
	inserted, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil || len(inserted) == len(ids) {
		return -1, err
	}
	return slices.IndexFunc(ids, func(id int64) bool { return !slices.Contains(inserted, id) }), nil
}

// InsertSessions stores sessions.
func (t *tx) InsertSessions(list []store.Session) error {
	var ids, accounts []int64
	var tokens [][]byte
	var devices []string
	var times [3][]time.Time
	for i := range list {
		s := &list[i]
		ids, accounts, tokens, devices = append(ids, int64(s.ID)), append(accounts, int64(s.User)), append(tokens, s.Token), append(devices, s.Device)
		for c, at := range []time.Time{s.CreatedAt, s.SeenAt, s.ExpiresAt} {
			times[c] = append(times[c], truncateTime(at))
		}
	}
	_, err := t.exec(`INSERT INTO sessions (id, account, token, device, created_at, seen_at, expires_at)
		SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bytea[], $4::text[], $5::timestamptz[], $6::timestamptz[], $7::timestamptz[])`,
		ids, accounts, tokens, devices, times[0], times[1], times[2])
	return err
}

// FirstNotInBatch finds the first of users who is not in the batch, or is
// disabled.
func (t *tx) FirstNotInBatch(b storetx.Batch, users []chat.UserID) (user chat.UserID, found bool, err error) {
	found, err = t.queryRow([]any{&user}, `SELECT k.id FROM unnest($1::bigint[]) WITH ORDINALITY AS k (id, n)
		WHERE NOT EXISTS (SELECT FROM users u WHERE u.id = k.id AND u.batch = $2 AND NOT u.disabled) ORDER BY k.n LIMIT 1`, int64s(users), b.ID)
	return user, found, err
}

// Batches lists all batches, ordered by name.
func (s *Store) Batches(ctx context.Context) ([]store.Batch, error) {
	return read(ctx, s, "list batches", func(ctx context.Context, q querier) ([]store.Batch, error) {
		rows, err := q.Query(ctx, `SELECT b.name, b.created_at, b.stage <> 0, (SELECT count(*) FROM users u WHERE u.batch = b.id) FROM batches b ORDER BY b.name`)
		if err != nil {
			return nil, err
		}
		return pgx.CollectRows(rows, func(row pgx.CollectableRow) (b store.Batch, err error) {
			err = row.Scan(&b.Name, &b.CreatedAt, &b.Removing, &b.Accounts)
			b.CreatedAt = b.CreatedAt.UTC()
			return b, err
		})
	})
}
