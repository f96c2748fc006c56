package postgres

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/hikyaku-chat/hikyaku/internal/batching"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// Reading on a replica must not show a state older than what the reader, or
// anyone who told them of it, has seen already. So a read first asks the
// primary how far its log is, which costs next to nothing and is asked once for
// all reads that wait, and then reads on a replica that has come that far. When
// none has within a moment, it reads on the primary. That is more than
// "read your writes": such a read never misses anything that was committed
// before it began, whoever wrote it.
//
// A replica is asked for its place in the transaction that reads: an address
// may stand for several servers, and a pool of connections between may hand
// each transaction to another of them. What one server said counts for no other.
const (
	// catchUp is how long a read waits for a replica.
	catchUp = 20 * time.Millisecond
	// catchUpStep is how often it looks.
	catchUpStep = 4 * time.Millisecond
	// pause is how long a replica that lags, or fails, is left alone.
	pause = 500 * time.Millisecond
	// replicaLogEvery bounds the log about a replica.
	replicaLogEvery = time.Minute
)

// replicas are the servers for reading.
type replicas struct {
	primary *pgxpool.Pool
	log     *slog.Logger
	all     []*replica
	turn    atomic.Uint32
	reads   atomic.Int64 // that a replica has answered

	waiting *batching.Queue[chan answer] // of those who ask for the primary's place
	stopped <-chan struct{}              // closed when nobody answers them any more
}

type replica struct {
	name   string
	pool   *pgxpool.Pool
	paused atomic.Int64 // until, in Unix nanoseconds
	logged atomic.Int64
}

// answer is the primary's place in its log.
type answer struct {
	place uint64
	err   error
}

// openReplicas prepares connections. A replica that is away now is no error: it
// is used when it comes.
func openReplicas(ctx context.Context, primary *pgxpool.Pool, cfg Config, log *slog.Logger) (*replicas, error) {
	r := &replicas{primary: primary, log: log, waiting: batching.NewQueue[chan answer]()}
	for i, url := range cfg.Replicas {
		c, err := parse("--database-replicas", url)
		if err != nil {
			r.close()
			return nil, err
		}
		c.MaxConns = int32(min(cfg.Connections, 1000)) //nolint:gosec // bounded
		pool, err := pgxpool.NewWithConfig(ctx, c)
		if err != nil {
			r.close()
			return nil, explain(err)
		}
		r.all = append(r.all, &replica{name: fmt.Sprintf("replica %d (%s:%d)", i+1, c.ConnConfig.Host, c.ConnConfig.Port), pool: pool})
	}
	return r, nil
}

// Replicas asks each replica how it is, by its name. Reading goes on without
// them.
func (s *Store) Replicas() map[string]func(context.Context) error {
	out := map[string]func(context.Context) error{}
	for _, one := range s.replicas.all {
		out[one.name] = func(ctx context.Context) error { return explain(one.pool.Ping(ctx)) }
	}
	return out
}

// run answers those who wait until ctx ends.
func (r *replicas) run(ctx context.Context) { r.waiting.Run(ctx, 0, r.answer) }

func (r *replicas) close() {
	for _, one := range r.all {
		one.pool.Close()
	}
}

// ReplicaReads is how many reads replicas have answered.
func (s *Store) ReplicaReads() int64 { return s.replicas.reads.Load() }

// readAnywhere runs f on a replica that is not behind, else on the primary.
func readAnywhere[T any](ctx context.Context, s *Store, what string, f func(ctx context.Context, q querier) (T, error)) (T, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	if one, tx := s.replicas.begin(ctx); tx != nil {
		out, err := f(ctx, tx)
		// Nothing was changed; the connection is free for the next.
		_ = tx.Rollback(ctx)
		if err == nil || ctx.Err() != nil || !troubled(err) {
			s.replicas.reads.Add(1)
			return out, wrap(what, err)
		}
		s.replicas.leave(one, err)
	}
	return read(ctx, s, what, f)
}

// troubled tells whether an error is the server's, not an answer.
func troubled(err error) bool {
	_, is := explain(err).(*store.DatabaseError)
	return is
}

// begin starts a transaction on a server that has all that is committed now;
// nil when there is none.
func (r *replicas) begin(ctx context.Context) (*replica, pgx.Tx) {
	one := r.next()
	if one == nil {
		return nil, nil
	}
	place, err := r.committed(ctx)
	if err != nil {
		return nil, nil // the primary will say what is wrong
	}
	tx, err := one.pool.BeginTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly})
	if err == nil {
		if err = reach(ctx, tx, place); err == nil {
			return one, tx
		}
		_ = tx.Rollback(ctx)
	}
	if ctx.Err() == nil {
		r.leave(one, err)
	}
	return nil, nil
}

// next is the replica whose turn it is among those that are not left alone.
func (r *replicas) next() *replica {
	now, turn := time.Now().UnixNano(), int(r.turn.Add(1))
	for i := range r.all {
		if one := r.all[(turn+i)%len(r.all)]; one.paused.Load() <= now {
			return one
		}
	}
	return nil
}

// reach waits a moment for the server of a transaction to come as far as a
// place in the log. Each statement of the transaction sees what is there when
// it begins (read committed).
func reach(ctx context.Context, tx pgx.Tx, place uint64) error {
	for began := time.Now(); ; {
		var at int64
		// On a server that is no replica (any more) there is no such place.
		if err := tx.QueryRow(ctx, `SELECT coalesce(pg_last_wal_replay_lsn() - '0/0'::pg_lsn, 0)::bigint`).Scan(&at); err != nil {
			return err
		}
		switch {
		case uint64(at) >= place: //nolint:gosec // a place is positive
			return nil
		case time.Since(began) > catchUp:
			return fmt.Errorf("it is %d bytes behind", place-uint64(at)) //nolint:gosec // a place is positive
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(catchUpStep):
		}
	}
}

// leave leaves a replica alone for a while.
func (r *replicas) leave(one *replica, why error) {
	now := time.Now()
	one.paused.Store(now.Add(pause).UnixNano())
	if last := one.logged.Load(); now.UnixNano()-last > int64(replicaLogEvery) && one.logged.CompareAndSwap(last, now.UnixNano()) {
		r.log.Warn("a replica cannot be read now; the primary is", "replica", one.name, "reason", why)
	}
}

// committed asks the primary how far its log is written, which covers every
// commit that anyone can have seen. All who ask while a question is on its way
// share the next one: the answer must be of after they asked.
func (r *replicas) committed(ctx context.Context) (uint64, error) {
	mine := make(chan answer, 1)
	r.waiting.Add(mine)
	select {
	case a := <-mine:
		return a.place, a.err
	case <-r.stopped:
		return 0, context.Canceled
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (r *replicas) answer(ctx context.Context, waiting []chan answer) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	var place int64
	err := r.primary.QueryRow(ctx, `SELECT (pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::bigint`).Scan(&place)
	for _, one := range waiting {
		one <- answer{place: uint64(place), err: err} //nolint:gosec // a place is positive
	}
}
