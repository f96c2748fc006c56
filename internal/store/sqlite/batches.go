package sqlite

import (
	"context"
	"slices"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/store/storetx"
)

// batchRow is a row of batches.
type batchRow struct {
	id, reached int64
	stage       stage
}

// batch finds a batch by name; nil when there is none.
func (w *writer) batch(name string) (*batchRow, error) {
	var b batchRow
	found, err := w.conn.one(`SELECT id, stage, reached FROM batches WHERE name = ?`,
		func(r row) { b = batchRow{id: r.int(0), stage: stage(r.int(1)), reached: r.int(2)} }, name)
	if err != nil || !found {
		return nil, err
	}
	return &b, nil
}

// CreateBatchUsers makes accounts of a batch; see the contract.
func (s *Store) CreateBatchUsers(ctx context.Context, name string, users []store.NewBatchUser) ([]store.BatchUser, error) {
	return change(ctx, s, "create the accounts of a batch", func(t *tx) ([]store.BatchUser, error) {
		b, err := t.batch(name)
		if err != nil {
			return nil, err
		}
		if b == nil {
			b = &batchRow{id: s.newID()}
			if _, err := t.exec(`INSERT INTO batches (id, name, created_at, stage, reached) VALUES (?, ?, ?, 0, 0)`, b.id, name, t.now()); err != nil {
				return nil, err
			}
		}
		if b.stage != inUse {
			return nil, store.BeingRemoved(name)
		}
		now := t.now()
		out := make([]store.BatchUser, len(users))
		for i, u := range users {
			as := chat.User{ID: chat.UserID(s.newID()), Name: u.Name, DisplayName: u.DisplayName, CreatedAt: now}
			made, err := t.insertUser(as, u.NewUser, b.id)
			if err != nil {
				return nil, err
			}
			if !made {
				return nil, store.NameTaken(u.Name)
			}
			u.Session.User = as.ID
			session, err := t.insertSession(u.Session)
			if err != nil {
				return nil, err
			}
			out[i] = store.BatchUser{User: as, Session: session}
		}
		return out, nil
	})
}

// CreateBatchConversations makes conversations; see the contract.
func (s *Store) CreateBatchConversations(ctx context.Context, name string, list []store.NewConversation) ([]store.Change, error) {
	return change(ctx, s, "create the conversations of a batch", func(t *tx) ([]store.Change, error) {
		b, err := t.batch(name)
		if err != nil {
			return nil, err
		}
		if b == nil {
			return nil, chat.NotFound("batch")
		}
		for _, n := range list {
			for _, user := range n.People() {
				of, err := t.conn.one(`SELECT 1 FROM users WHERE id = ? AND batch = ? AND disabled = 0`, func(row) {}, user, b.id)
				if err != nil {
					return nil, err
				}
				if !of {
					return nil, store.NotOfBatch(user, name)
				}
			}
		}
		out := make([]store.Change, len(list))
		for i, n := range list {
			if out[i], err = storetx.CreateConversation(t, n); err != nil {
				return nil, err
			}
		}
		return out, nil
	})
}

// Batches lists them by name.
func (s *Store) Batches(ctx context.Context) ([]store.Batch, error) {
	return read(ctx, s, "list batches", func(c *conn) (out []store.Batch, err error) {
		err = c.query(`SELECT b.name, b.created_at, b.stage, (SELECT count(*) FROM users u WHERE u.batch = b.id) FROM batches b ORDER BY b.name`,
			func(r row) error {
				out = append(out, store.Batch{Name: r.text(0), CreatedAt: r.time(1), Removing: stage(r.int(2)) != inUse, Accounts: int(r.int(3))})
				return nil
			})
		return out, err
	})
}

// idsOf runs a query for ids.
func idsOf[T ~int64](c *conn, query string, args ...any) (out []T, err error) {
	err = c.query(query, func(r row) error {
		out = append(out, T(r.int(0)))
		return nil
	}, args...)
	return slices.Clip(out), err
}
