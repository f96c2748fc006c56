package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/puddle/v2"

	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// The installation's row remembers the history that its epoch belongs to. Every
// new connection and each process now and then compare it with the server's, and
// every list of changes the timeline, which may change behind a connection:
//
//   - the system identifier is another one after a dump was restored into a new
//     cluster, where transaction ids begin anew;
//   - the timeline is another one after a failover to a replica, which may have
//     lost what it had not received, and after a recovery to a point in time;
//   - the oids are others after a dump was restored into the same cluster, or a
//     copy of the database was put in its place.
//
// Only one thing looks like the history that it is a copy of: files that were
// copied while the server was stopped, or a snapshot of a volume. There, the
// operator begins the epoch.
const serverHistory = `concat_ws('/', (SELECT system_identifier FROM pg_control_system()), ` + serverTimeline + `,
	(SELECT oid FROM pg_database WHERE datname = current_database()), 'installation'::regclass::oid)`

// serverTimeline costs next to nothing; the system identifier is read from a file.
const serverTimeline = `left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)`

// epochInterval is how often a process looks whether there is another epoch.
const epochInterval = time.Second

// renewTimeout bounds the beginning of an epoch: in a large restored database it
// reads all conversations and memberships.
const renewTimeout = 10 * time.Minute

// history is SQL for the server's history, or for the one that is remembered on a
// server that does not tell (42501).
func (s *Store) history() string {
	if s.historyHidden.Load() {
		return `history`
	}
	return `CASE WHEN pg_is_in_recovery() THEN NULL ELSE ` + serverHistory + ` END`
}

// sameTimeline is SQL for whether the server is on the timeline that is
// remembered, NULL on a replica.
func (s *Store) sameTimeline() string {
	if s.historyHidden.Load() {
		return `true`
	}
	return `CASE WHEN pg_is_in_recovery() THEN NULL ELSE split_part(history, '/', 2) = ` + serverTimeline + ` END`
}

// errReplica is returned when the address of the primary leads to a server that
// is none.
var errReplica = &store.DatabaseError{
	Text:      "--database: the server is a replica, which cannot be written to; give the address of the primary (replicas go to --database-replicas)",
	Retryable: true, Cause: errors.New("the server is in recovery"),
}

// Epoch returns the epoch; see the contract.
func (s *Store) Epoch() (epoch string, changed <-chan struct{}) { return s.epoch.Epoch() }

// NewEpoch begins an epoch; see the contract.
func (s *Store) NewEpoch(ctx context.Context) (string, error) {
	epoch, err := s.renewEpoch(ctx, s.pool, true)
	if err != nil {
		return "", wrap("begin an epoch", err)
	}
	// It has begun. Should this fail, the next check finds it.
	_, _ = s.readEpoch(ctx, s.pool)
	return epoch, nil
}

// checkEpoch takes over the epoch of the server that q is connected to, and
// begins another one when its history is not the one that is remembered.
func (s *Store) checkEpoch(ctx context.Context, q beginner) error {
	for range attempts {
		if same, err := s.readEpoch(ctx, q); err != nil || same {
			return err
		}
		if _, err := s.renewEpoch(ctx, q, false); err != nil {
			return err
		}
	}
	return errUnsettled
}

// errUnsettled is returned when the history is another one each time.
var errUnsettled = &store.DatabaseError{
	Text:      "--database: the address leads to one server and another in turn; give that of one, or of a service that knows the primary",
	Retryable: true, Cause: errors.New("the history changes all the time"),
}

// readEpoch takes over the epoch, if the server's history is still the one that
// it belongs to, and reports whether it is.
func (s *Store) readEpoch(ctx context.Context, q querier) (bool, error) {
	read := s.epochReads.Add(1)
	var epoch string
	var same *bool
	err := q.QueryRow(ctx, `SELECT epoch, history = `+s.history()+` FROM installation`).Scan(&epoch, &same)
	switch {
	case sqlState(err) == notPermitted && s.historyHidden.CompareAndSwap(false, true):
		same, hidden := s.readEpoch(ctx, q)
		if hidden == nil {
			s.log.Warn("the server does not let this user read which history it is of; run hikyaku epoch new after a restore or a failover", "error", err)
		}
		return same, hidden
	case err != nil:
		return false, err
	case same == nil:
		return false, errReplica
	}
	if !*same || epoch == "" {
		return false, nil
	}
	s.setEpoch(epoch, read)
	return true, nil
}

// checkConnection checks the epoch before a new connection is used: after a
// failover it leads to a server with another history.
func (s *Store) checkConnection(ctx context.Context, c *pgx.Conn) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	err := s.checkEpoch(ctx, c)
	if errors.Is(err, context.Canceled) { // the pool's context, not a caller's
		return puddle.ErrClosedPool
	}
	return err
}

// beginner is a pool or a connection.
type beginner interface {
	querier
	Begin(ctx context.Context) (pgx.Tx, error)
}

// renewEpoch begins another epoch, in one transaction that only one process has
// at a time; when it is not forced, only if the history is still another one.
func (s *Store) renewEpoch(ctx context.Context, q beginner, force bool) (epoch string, err error) {
	// A caller who gives up must not have the others begin anew.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), renewTimeout)
	defer cancel()
	var before string
	renewed := false
	err = pgx.BeginFunc(ctx, q, func(t pgx.Tx) error {
		if err := setIdleTimeout(ctx, t); err != nil {
			return err
		}
		var same, sameServer bool
		// The row is locked until the end.
		if err := t.QueryRow(ctx, `SELECT epoch, epoch <> '' AND history = `+s.history()+`, split_part(history, '/', 1) = split_part(`+s.history()+`, '/', 1)
			FROM installation FOR UPDATE`).Scan(&epoch, &same, &sameServer); err != nil {
			return err
		}
		if before = epoch; same && !force {
			return nil
		}
		renewed = true
		if force || !sameServer {
			if err := bringIntoPresent(ctx, t); err != nil {
				return err
			}
		}
		return t.QueryRow(ctx, `UPDATE installation SET epoch = replace(gen_random_uuid()::text, '-', ''), history = `+s.history()+` RETURNING epoch`).Scan(&epoch)
	})
	if err != nil {
		return "", err
	}
	if renewed && before != "" && !force {
		s.log.Warn("the history of the database may have gone back: a new epoch has begun, and all devices look at everything anew", "epoch", epoch, "before", before)
	}
	return epoch, nil
}

// bringIntoPresent changes the transaction ids of changes that this server has not
// reached: they were another server's. Until it reached them, they would be listed
// to every device every time.
func bringIntoPresent(ctx context.Context, t pgx.Tx) error {
	// Writers lock rows one by one, and would deadlock with this. Readers go on.
	if _, err := t.Exec(ctx, `LOCK TABLE conversations, members, failures IN EXCLUSIVE MODE`); err != nil {
		return err
	}
	for _, table := range []string{"conversations", "members", "failures"} {
		if _, err := t.Exec(ctx, fmt.Sprintf(`UPDATE %s SET change = pg_current_xact_id() WHERE change > pg_current_xact_id()`, table)); err != nil {
			return err
		}
	}
	return nil
}

// setEpoch takes over an epoch, unless one was taken over by a read that began
// later. What is cached is of the one before.
func (s *Store) setEpoch(epoch string, read int64) {
	s.epochMu.Lock()
	defer s.epochMu.Unlock()
	if read < s.epochRead {
		return
	}
	s.epochRead = read
	if current, _ := s.epoch.Epoch(); current == epoch {
		return
	}
	s.members.Store(newMemberCache())
	s.partitions.forget()
	s.epoch.Set(epoch)
}

// runEpochChecks checks the epoch until ctx ends: another process may have begun
// one, and behind a pooler a connection may lead to another server at any time.
func (s *Store) runEpochChecks(ctx context.Context) {
	tick := time.NewTicker(epochInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		// An error is everybody's who uses the database now; whoever does says so.
		callCtx, cancel := bounded(ctx)
		_ = s.checkEpoch(callCtx, s.pool)
		cancel()
	}
}
