package postgres

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/search"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/store/storetx"
)

// batch is a row of batches.
type batch struct {
	id, reached int64
	stage       stage
}

// batch finds a batch by name and holds it: FOR SHARE keeps its removal away,
// FOR UPDATE everybody. It is nil when there is none.
func (t *tx) batch(name, hold string) (*batch, error) {
	var b batch
	found, err := t.one([]any{&b.id, &b.stage, &b.reached}, `SELECT id, stage, reached FROM batches WHERE name = $1 `+hold, name)
	if err != nil || !found {
		return nil, err
	}
	return &b, nil
}

const (
	forShare  = `FOR SHARE`
	forUpdate = `FOR UPDATE`
)

// CreateBatchUsers makes accounts of a batch; see the contract.
func (s *Store) CreateBatchUsers(ctx context.Context, name string, users []store.NewBatchUser) ([]store.BatchUser, error) {
	return change(ctx, s, "create the accounts of a batch", func(t *tx) ([]store.BatchUser, error) {
		id, err := t.newID()
		if err != nil {
			return nil, err
		}
		if _, err := t.exec(`INSERT INTO batches (id, name, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, id, name, t.now()); err != nil {
			return nil, err
		}
		b, err := t.batch(name, forShare)
		if err := notFound(b != nil, err, "batch"); err != nil { // one that went just now
			return nil, err
		}
		if b.stage != inUse {
			return nil, store.BeingRemoved(name)
		}
		out, err := t.insertBatchUsers(b, users)
		if err != nil {
			return nil, err
		}
		return out, t.insertBatchSessions(users, out)
	})
}

func (t *tx) insertBatchUsers(b *batch, users []store.NewBatchUser) ([]store.BatchUser, error) {
	now := t.now()
	out := make([]store.BatchUser, len(users))
	ids, columns := make([]int64, len(users)), [6][]string{}
	for i, u := range users {
		id, err := t.newID()
		if err != nil {
			return nil, err
		}
		ids[i] = id
		for c, value := range []string{u.Name, u.Skeleton, u.DisplayName, search.Fold(u.Name), search.Fold(u.DisplayName), u.Password} {
			columns[c] = append(columns[c], value)
		}
		out[i].User = chat.User{ID: chat.UserID(id), Name: u.Name, DisplayName: u.DisplayName, CreatedAt: now}
	}
	rows, err := t.Query(t.ctx, `INSERT INTO users (id, name, skeleton, display_name, name_fold, display_fold, password, admin, created_at, batch)
		SELECT k.*, false, $8::timestamptz, $9::bigint FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[]) k
		ON CONFLICT DO NOTHING RETURNING id`,
		ids, columns[0], columns[1], columns[2], columns[3], columns[4], columns[5], now, b.id)
	if err != nil {
		return nil, err
	}
	made, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, err
	}
	if len(made) < len(ids) {
		i := slices.IndexFunc(ids, func(id int64) bool { return !slices.Contains(made, id) })
		return nil, store.NameTaken(users[i].Name)
	}
	return out, nil
}

func (t *tx) insertBatchSessions(users []store.NewBatchUser, made []store.BatchUser) error {
	var ids, accounts []int64
	var tokens [][]byte
	var devices []string
	var times [3][]time.Time
	for i := range made {
		id, err := t.newID()
		if err != nil {
			return err
		}
		s := &users[i].Session
		made[i].Session = chat.SessionID(id)
		ids, accounts, tokens, devices = append(ids, id), append(accounts, int64(made[i].User.ID)), append(tokens, s.Token), append(devices, s.Device)
		for c, at := range []time.Time{s.CreatedAt, s.SeenAt, s.ExpiresAt} {
			times[c] = append(times[c], stamp(at))
		}
	}
	_, err := t.exec(`INSERT INTO sessions (id, account, token, device, created_at, seen_at, expires_at)
		SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bytea[], $4::text[], $5::timestamptz[], $6::timestamptz[], $7::timestamptz[])`,
		ids, accounts, tokens, devices, times[0], times[1], times[2])
	return err
}

// CreateBatchConversations makes conversations; see the contract.
func (s *Store) CreateBatchConversations(ctx context.Context, name string, list []store.NewConversation) ([]store.Change, error) {
	return change(ctx, s, "create the conversations of a batch", func(t *tx) ([]store.Change, error) {
		b, err := t.batch(name, forShare)
		if err := notFound(b != nil, err, "batch"); err != nil {
			return nil, err
		}
		var all []chat.UserID
		for _, n := range list {
			all = append(all, n.People()...)
		}
		stranger := chat.UserID(0)
		found, err := t.one([]any{&stranger}, `SELECT k.id FROM unnest($1::bigint[]) WITH ORDINALITY AS k (id, n)
			WHERE NOT EXISTS (SELECT FROM users u WHERE u.id = k.id AND u.batch = $2 AND NOT u.disabled) ORDER BY k.n LIMIT 1`, numbers(all), b.id)
		if err != nil {
			return nil, err
		}
		if found {
			return nil, store.NotOfBatch(stranger, name)
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
