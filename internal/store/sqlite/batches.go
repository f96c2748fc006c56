package sqlite

import (
	"context"
	"slices"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/store/storetx"
)

// LockBatch finds a batch by name. There is only one writer, so nobody else uses
// it.
func (t *tx) LockBatch(name string) (b storetx.Batch, found bool, err error) {
	found, err = t.conn.queryRow(`SELECT id, stage, reached FROM batches WHERE name = ?`,
		func(r row) { b = storetx.Batch{ID: r.int(0), Stage: chat.RemovalStage(r.int(1)), Reached: r.user(2)} }, name)
	return b, found, err
}

// ShareLockBatch finds a batch by name.
func (t *tx) ShareLockBatch(name string) (storetx.Batch, bool, error) { return t.LockBatch(name) }

// EnsureBatch finds a batch by name, or creates it.
func (t *tx) EnsureBatch(name string) (storetx.Batch, bool, error) {
	b, found, err := t.LockBatch(name)
	if err != nil || found {
		return b, found, err
	}
	b.ID = t.store.newID()
	_, err = t.exec(`INSERT INTO batches (id, name, created_at, stage, reached) VALUES (?, ?, ?, 0, 0)`, b.ID, name, t.now())
	return b, err == nil, err
}

// SaveBatch stores how far a removal has come.
func (t *tx) SaveBatch(b storetx.Batch) error {
	_, err := t.exec(`UPDATE batches SET stage = ?, reached = ? WHERE id = ?`, int(b.Stage), b.Reached, b.ID)
	return err
}

// DeleteBatch removes a batch that has no accounts any more.
func (t *tx) DeleteBatch(b storetx.Batch) error {
	_, err := t.exec(`DELETE FROM batches WHERE id = ?`, b.ID)
	return err
}

// InsertBatchAccounts stores accounts of a batch.
func (t *tx) InsertBatchAccounts(b storetx.Batch, as []chat.User, users []store.NewBatchUser) (taken int, err error) {
	for i := range as {
		if free, err := t.insertUser(as[i], users[i].NewUser, b.ID); err != nil || !free {
			return i, err
		}
	}
	return -1, nil
}

// InsertSessions stores sessions.
func (t *tx) InsertSessions(list []store.Session) error {
	for i := range list {
		if err := t.insertSession(&list[i]); err != nil {
			return err
		}
	}
	return nil
}

// FirstNotInBatch finds the first of users who is not in the batch, or is
// disabled.
func (t *tx) FirstNotInBatch(b storetx.Batch, users []chat.UserID) (chat.UserID, bool, error) {
	for _, user := range users {
		of, err := t.conn.queryRow(`SELECT 1 FROM users WHERE id = ? AND batch = ? AND disabled = 0`, func(row) {}, user, b.ID)
		if err != nil || !of {
			return user, err == nil, err
		}
	}
	return 0, false, nil
}

// Batches lists all batches, ordered by name.
func (s *Store) Batches(ctx context.Context) ([]store.Batch, error) {
	return read(ctx, s, "list batches", func(c *conn) (out []store.Batch, err error) {
		err = c.query(`SELECT b.name, b.created_at, b.stage, (SELECT count(*) FROM users u WHERE u.batch = b.id) FROM batches b ORDER BY b.name`,
			func(r row) error {
				out = append(out, store.Batch{
					Name: r.text(0), CreatedAt: r.time(1), Removing: chat.RemovalStage(r.int(2)) != chat.BatchInUse, Accounts: int(r.int(3)),
				})
				return nil
			})
		return out, err
	})
}

// queryIDs runs a query whose only column is an id.
func queryIDs[T ~int64](c *conn, query string, args ...any) (out []T, err error) {
	err = c.query(query, func(r row) error {
		out = append(out, T(r.int(0)))
		return nil
	}, args...)
	return slices.Clip(out), err
}
