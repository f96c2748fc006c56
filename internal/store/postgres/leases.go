package postgres

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/hikyaku-chat/hikyaku/internal/snowflake"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// Every process that generates ids has its own node number, leased in the
// database in which the ids are used: a process that can store can generate ids,
// and no other service is needed (docs/decisions/0005-id-leases.md).
//
// Uniqueness does not depend on any clock. Before it generates ids, a holder
// stores a ceiling: a time that its ids will not reach. The next holder of the
// number starts above it. The expiry only says when a number may be given to
// another process.
const (
	leaseDuration = time.Minute
	renewInterval = 10 * time.Second
)

type lease struct {
	pool *pgxpool.Pool
	now  func() time.Time
	// Used by run and release only, which do not run concurrently.
	holder uuid.UUID
	node   int

	mu      sync.Mutex
	maker   *snowflake.Generator
	ceiling time.Time // the times of all ids are before it
}

// errLeaseExpired is returned when the lease could not be renewed for so long
// that its ids are used up.
var errLeaseExpired = &store.DatabaseError{
	Text: "no ids can be generated: the lease of this process's node number could not be renewed in the database", Retryable: true, Cause: errors.New("the lease has ended"),
}

func acquireLease(ctx context.Context, pool *pgxpool.Pool, now func() time.Time) (*lease, error) {
	l := &lease{pool: pool, holder: uuid.New(), now: now}
	var floor time.Time
	for {
		// A random free number, so that a number is not taken over as soon as
		// it is free. The statement itself reads the old ceiling.
		found, err := queryRow(ctx, pool, []any{&l.node, &floor}, `WITH free AS (
				SELECT n AS node, coalesce((SELECT ceiling FROM id_nodes WHERE node = n), '-infinity') AS floor FROM generate_series(0, $4::int) n
				WHERE NOT EXISTS (SELECT FROM id_nodes i WHERE i.node = n AND i.expires > now()) ORDER BY random() LIMIT 1)
			INSERT INTO id_nodes AS i (node, holder, expires, ceiling)
			SELECT node, $1, now() + $2::interval, greatest(floor, $3::timestamptz) + $2::interval FROM free
			ON CONFLICT (node) DO UPDATE SET holder = excluded.holder, expires = excluded.expires,
				ceiling = greatest(i.ceiling, $3::timestamptz) + $2::interval WHERE i.expires <= now()
			RETURNING node, ceiling - $2::interval`, l.holder, leaseDuration, now(), snowflake.MaxNode)
		if err != nil {
			return nil, explain(err)
		}
		if found {
			break
		}
		var taken int
		if _, err := queryRow(ctx, pool, []any{&taken}, `SELECT count(*) FROM id_nodes WHERE expires > now()`); err != nil {
			return nil, explain(err)
		}
		if taken > snowflake.MaxNode {
			return nil, errors.New("--database: 1024 processes generate ids already; stop some, or wait a minute for those that crashed")
		}
	}
	l.ceiling = floor.Add(leaseDuration)
	// One millisecond above what the last holder may have used.
	floor = floor.Add(time.Millisecond)
	maker, err := snowflake.NewGenerator(l.node, func() time.Time {
		if t := now(); t.After(floor) {
			return t
		}
		return floor
	})
	l.maker = maker
	return l, err
}

// next returns a new id.
func (l *lease) next() (int64, error) {
	l.mu.Lock()
	id, ceiling := l.maker.Next(), l.ceiling
	l.mu.Unlock()
	if !snowflake.Time(id).Before(ceiling) {
		return 0, errLeaseExpired
	}
	return id, nil
}

// run renews the lease until ctx ends.
func (l *lease) run(ctx context.Context, log *slog.Logger) {
	tick := time.NewTicker(renewInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := l.renew(ctx); err != nil && ctx.Err() == nil {
			log.Error("the lease of the node number could not be renewed; trying again", "node", l.node, "error", err)
		}
	}
}

func (l *lease) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, renewInterval)
	defer cancel()
	var ceiling time.Time
	found, err := queryRow(ctx, l.pool, []any{&ceiling}, `UPDATE id_nodes SET expires = now() + $3::interval, ceiling = greatest(ceiling, $4::timestamptz + $3::interval)
		WHERE node = $1 AND holder = $2 RETURNING ceiling`, l.node, l.holder, leaseDuration, l.now())
	if err != nil {
		return explain(err)
	}
	if !found {
		// It had expired and belongs to another process. Ids below the old
		// ceiling are still ours; beyond it a new number is needed.
		return l.replace(ctx)
	}
	l.mu.Lock()
	l.ceiling = ceiling
	l.mu.Unlock()
	return nil
}

// replace takes another number after the old one was lost.
func (l *lease) replace(ctx context.Context) error {
	other, err := acquireLease(ctx, l.pool, l.now)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.holder, l.node, l.ceiling = other.holder, other.node, other.ceiling
	l.maker = other.maker
	return nil
}

// release returns the number.
func (l *lease) release() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	// When it fails, the lease expires by itself.
	_, _ = l.pool.Exec(ctx, `UPDATE id_nodes SET expires = now() WHERE node = $1 AND holder = $2`, l.node, l.holder)
}
