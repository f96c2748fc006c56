package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store/storetx"
)

// querier runs queries: a pool, a connection or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// tx is the transaction of a change.
type tx struct {
	pgx.Tx
	ctx   context.Context //nolint:containedctx // it lives as long as the transaction
	store *Store
}

var _ storetx.Tx = (*tx)(nil)

// update runs a command in a transaction.
func (s *Store) update(ctx context.Context, what string, f func(storetx.Tx) error) error {
	_, err := change(ctx, s, what, func(t *tx) (struct{}, error) { return struct{}{}, f(t) })
	return err
}

// attempts is how often a change is tried when it conflicts with others, and anything
// when its connection was lost.
const attempts = 5

// change runs f in a transaction and commits. When the database rolled it back
// because of a conflict with another transaction, f runs again; also when its
// connection was lost before the commit, of which nobody knows then whether it was done.
func change[T any](ctx context.Context, s *Store, what string, f func(t *tx) (T, error)) (out T, err error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	for range attempts {
		var none T
		out = none
		committing := false
		err = pgx.BeginTxFunc(ctx, s.pool, changeOptions, func(p pgx.Tx) (err error) {
			out, err = f(&tx{Tx: p, ctx: ctx, store: s})
			committing = err == nil
			return err
		})
		if state := sqlState(err); state == serializationFailed || state == deadlockDetected {
			continue
		}
		if committing || !s.reconnected(ctx, err) {
			break
		}
	}
	if err != nil {
		var none T
		return none, wrap(what, err)
	}
	return out, nil
}

// read runs f on the primary, and again when its connection was lost.
func read[T any](ctx context.Context, s *Store, what string, f func(ctx context.Context, q querier) (T, error)) (out T, err error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	for range attempts {
		if out, err = f(ctx, s.pool); !s.reconnected(ctx, err) {
			break
		}
	}
	return out, wrap(what, err)
}

// reconnected reports whether an error says that a connection was lost that had been
// used a moment before, and has the next call use a new one: a server that was started
// again, or has ended its connections, is there, and the pool does not know that the
// others are lost as well.
func (s *Store) reconnected(ctx context.Context, err error) bool {
	if ctx.Err() != nil || !isConnectionLost(err) {
		return false
	}
	s.pool.Reset()
	return true
}

// bounded sets a deadline when the context has none.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, callTimeout)
}

// queryRow reads a single row and reports whether there is one.
func queryRow(ctx context.Context, q querier, dst []any, sql string, args ...any) (bool, error) {
	err := q.QueryRow(ctx, sql, args...).Scan(dst...)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

func (t *tx) queryRow(dst []any, sql string, args ...any) (bool, error) {
	return queryRow(t.ctx, t.Tx, dst, sql, args...)
}

// exec runs a statement and returns how many rows it affected.
func (t *tx) exec(sql string, args ...any) (int64, error) {
	tag, err := t.Exec(t.ctx, sql, args...)
	return tag.RowsAffected(), err
}

// newID returns a new id.
func (t *tx) newID() (int64, error) { return t.store.ids.next() }

// NewID returns a new id.
func (t *tx) NewID() (int64, error) { return t.newID() }

// now returns the time of a change, in the precision of the store.
func (t *tx) now() time.Time { return truncateTime(t.store.now()) }

// Now returns the time of a change, in the precision of the store.
func (t *tx) Now() time.Time { return t.now() }

// truncateTime returns a time in the precision of the store.
func truncateTime(at time.Time) time.Time { return at.Truncate(time.Millisecond).UTC() }

// timeOrNull stores the zero time as NULL.
func timeOrNull(at time.Time) *time.Time {
	if at.IsZero() {
		return nil
	}
	at = truncateTime(at)
	return &at
}

// timeFromNull returns a stored time; NULL is the zero time.
func timeFromNull(at *time.Time) time.Time {
	if at == nil {
		return time.Time{}
	}
	return at.UTC()
}

// int64s converts ids to the type that the driver needs for arrays.
func int64s[T ~int64](ids []T) []int64 {
	out := make([]int64, len(ids))
	for i, id := range ids {
		out[i] = int64(id)
	}
	return out
}

func notFound(found bool, err error, what string) error {
	if err == nil && !found {
		return chat.NotFound(what)
	}
	return err
}
