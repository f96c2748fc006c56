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

// A read on a replica must not return a state older than what the reader, or
// anyone the reader has heard from, has seen already. So a read first asks the
// primary for its position in the write-ahead log (WAL), which is cheap and asked
// once for all waiting reads, and then reads on a replica that has replayed the
// WAL up to that position. When none has within a short time, it reads on the
// primary. That is more than "read your writes": such a read never misses
// anything that was committed before it began, whoever wrote it.
//
// A replica is asked for its position in the transaction that reads: an address
// may stand for several servers, and a connection pooler may route each
// transaction to a different one. The position of one server says nothing about
// another.
const (
	// replayTimeout is how long a read waits for a replica to catch up.
	replayTimeout = 20 * time.Millisecond
	// replayCheckInterval is how often it checks.
	replayCheckInterval = 4 * time.Millisecond
	// pauseDuration is how long a replica that lags, or fails, is not used.
	pauseDuration = 500 * time.Millisecond
	// replicaLogInterval is the minimum time between log messages about a replica.
	replicaLogInterval = time.Minute
)

// replicas are the servers for reads.
type replicas struct {
	primary *pgxpool.Pool
	log     *slog.Logger
	all     []*replica
	turn    atomic.Uint32
	reads   atomic.Int64 // reads that a replica has answered

	waiting *batching.Queue[chan walPosition] // callers that wait for the primary's position
	stopped <-chan struct{}                   // closed when they are not answered any more
}

type replica struct {
	name   string
	pool   *pgxpool.Pool
	paused atomic.Int64 // not used until this time, in Unix nanoseconds
	logged atomic.Int64
}

// walPosition is the primary's position in its WAL, or why it is unknown. A
// position is one of a timeline: a failover to a server that lagged begins one
// with positions that others had passed already.
type walPosition struct {
	lsn      uint64
	timeline int64
	err      error
}

// openReplicas prepares connections. A replica that is unreachable now is no
// error: it is used when it is reachable.
func openReplicas(ctx context.Context, primary *pgxpool.Pool, cfg Config, log *slog.Logger) (*replicas, error) {
	r := &replicas{primary: primary, log: log, waiting: batching.NewQueue[chan walPosition]()}
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

// Replicas returns a health check for each replica, by its name. Reads do not
// depend on them.
func (s *Store) Replicas() map[string]func(context.Context) error {
	out := map[string]func(context.Context) error{}
	for _, one := range s.replicas.all {
		out[one.name] = func(ctx context.Context) error { return explain(one.pool.Ping(ctx)) }
	}
	return out
}

// run answers waiting callers until ctx ends.
func (r *replicas) run(ctx context.Context) { r.waiting.Run(ctx, 0, r.answerWaiting) }

func (r *replicas) close() {
	for _, one := range r.all {
		one.pool.Close()
	}
}

// ReplicaReads returns how many reads replicas have answered.
func (s *Store) ReplicaReads() int64 { return s.replicas.reads.Load() }

// readPreferReplica runs f on a replica that is up to date, else on the primary.
func readPreferReplica[T any](ctx context.Context, s *Store, what string, f func(ctx context.Context, q querier) (T, error)) (T, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	if replica, tx := s.replicas.begin(ctx); tx != nil {
		out, err := f(ctx, tx)
		// Nothing was changed; the connection is free for the next.
		_ = tx.Rollback(ctx)
		if err == nil || ctx.Err() != nil || !isDatabaseError(err) {
			s.replicas.reads.Add(1)
			return out, wrap(what, err)
		}
		s.replicas.pause(replica, err)
	}
	return read(ctx, s, what, f)
}

// isDatabaseError reports whether an error is of the server, not a refusal.
func isDatabaseError(err error) bool {
	_, is := explain(err).(*store.DatabaseError)
	return is
}

// begin starts a transaction on a replica that has everything that is committed
// now; nil when there is none.
func (r *replicas) begin(ctx context.Context) (*replica, pgx.Tx) {
	one := r.next()
	if one == nil {
		return nil, nil
	}
	at := r.primaryPosition(ctx)
	if at.err != nil {
		return nil, nil // the read on the primary will return the error
	}
	tx, err := one.pool.BeginTx(ctx, readOptions)
	if err == nil {
		if err = waitForReplay(ctx, tx, at); err == nil {
			return one, tx
		}
		_ = tx.Rollback(ctx)
	}
	if ctx.Err() == nil {
		r.pause(one, err)
	}
	return nil, nil
}

// next returns the next replica that is not paused, round robin; nil for none.
func (r *replicas) next() *replica {
	now, turn := time.Now().UnixNano(), int(r.turn.Add(1))
	for i := range r.all {
		if one := r.all[(turn+i)%len(r.all)]; one.paused.Load() <= now {
			return one
		}
	}
	return nil
}

// firstTimeline is that of a cluster that has never failed over. All its servers
// are on it.
const firstTimeline = 1

// waitForReplay waits a short time for the server of a transaction to replay the
// WAL up to the primary's position. Each statement of the transaction sees the
// state as of its own start (read committed).
func waitForReplay(ctx context.Context, tx pgx.Tx, primary walPosition) error {
	// A server that is not a replica, or no longer one, has no such position.
	// A replica tells its timeline from a file, and may be late to write it there.
	timeline := `0`
	if primary.timeline != firstTimeline {
		timeline = `(SELECT min_recovery_end_timeline FROM pg_control_recovery())`
	}
	for began := time.Now(); ; {
		var lsn, on int64
		if err := tx.QueryRow(ctx, `SELECT coalesce(pg_last_wal_replay_lsn() - '0/0'::pg_lsn, 0)::bigint, `+timeline).Scan(&lsn, &on); err != nil {
			return err
		}
		switch {
		case on != 0 && on != primary.timeline:
			return fmt.Errorf("it is on timeline %d, and the primary on %d", on, primary.timeline)
		case uint64(lsn) >= primary.lsn: //nolint:gosec // a position is positive
			return nil
		case time.Since(began) > replayTimeout:
			return fmt.Errorf("it is %d bytes behind", primary.lsn-uint64(lsn)) //nolint:gosec // a position is positive
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(replayCheckInterval):
		}
	}
}

// pause does not use a replica for a while.
func (r *replicas) pause(one *replica, err error) {
	now := time.Now()
	one.paused.Store(now.Add(pauseDuration).UnixNano())
	if last := one.logged.Load(); now.UnixNano()-last > int64(replicaLogInterval) && one.logged.CompareAndSwap(last, now.UnixNano()) {
		r.log.Warn("a replica cannot be used; reading on the primary", "replica", one.name, "error", err)
	}
}

// primaryPosition asks the primary for the flushed position of its WAL, which
// covers every commit that anyone can have seen. Callers during a query share the
// next one: the position must be read after they asked.
func (r *replicas) primaryPosition(ctx context.Context) walPosition {
	answer := make(chan walPosition, 1)
	r.waiting.Add(answer)
	select {
	case a := <-answer:
		return a
	case <-r.stopped:
		return walPosition{err: context.Canceled}
	case <-ctx.Done():
		return walPosition{err: ctx.Err()}
	}
}

func (r *replicas) answerWaiting(ctx context.Context, waiting []chan walPosition) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	var lsn, timeline int64
	err := r.primary.QueryRow(ctx, `SELECT (pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::bigint, ('x' || `+serverTimeline+`)::bit(32)::bigint`).Scan(&lsn, &timeline)
	for _, one := range waiting {
		one <- walPosition{lsn: uint64(lsn), timeline: timeline, err: err} //nolint:gosec // a position is positive
	}
}
