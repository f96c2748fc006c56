package sqlite

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/store/storetx"
)

const (
	// maxQueuedJobs is how many changes may be queued. When the queue is full,
	// callers wait as long as their context allows.
	maxQueuedJobs = 1024
	// maxGroupWeight limits a group, so that the first job in it does not wait
	// for ever. A message weighs 1.
	maxGroupWeight = 4096
	// changeBlockSize is how many change numbers are reserved at a time. What is
	// left of a block when the process ends is never used.
	changeBlockSize = 1 << 16
)

// writer is the only goroutine that changes the database. It collects what was
// queued during the last commit and commits it in one transaction.
type writer struct {
	store *Store
	conn  *conn
	queue chan *job
	done  chan struct{}

	cache      *cache
	lastChange int64        // the last change number
	ceiling    int64        // the end of the block in the database
	issued     atomic.Int64 // no reader can see a higher change number
	used       int64        // the last change number that this process has taken
	committed  atomic.Int64 // used, as of the last commit: nothing up to it is committed later; 0 before the first
	version    int64        // PRAGMA data_version as of the last group
	stale      bool         // the cached state may have been rolled back: read it again

	seen             map[store.SendKey]chat.Earlier // decided by the current append; see append.go
	inserts          inserter
	verdicts         storetx.Verdicts // of the current append; see failures.go
	failed           failedKeys       // of all failures
	restartRequested atomic.Bool      // the checkpointer asks for a restart of the log
}

// job is a queued change.
type job struct {
	run    func(*tx) error
	batch  *batch // in place of run, for Append
	weight int
	err    error
	done   chan struct{}
}

// tx is the transaction of a job. Jobs may be run again from the start, so they
// keep no state from a failed run.
type tx struct {
	*writer
	wrote bool // the current job has changed something
}

func newWriter(c *conn, s *Store) (*writer, error) {
	w := &writer{
		store: s, conn: c, queue: make(chan *job, maxQueuedJobs), done: make(chan struct{}),
		cache: newCache(), stale: true, seen: map[store.SendKey]chat.Earlier{},
	}
	if _, err := w.try(nil); err != nil { // reads the change number
		return w, err
	}
	return w, w.loadFailedKeys()
}

// stop ends the writer after the queued jobs. No call may be in flight.
func (w *writer) stop() {
	close(w.queue)
	<-w.done
}

// close leaves no log behind, unless another process has the database open.
func (w *writer) close() error {
	_, err := w.conn.exec(`PRAGMA wal_checkpoint(TRUNCATE)`)
	return errors.Join(err, w.conn.close())
}

func (w *writer) run() {
	defer close(w.done)
	group := make([]*job, 0, maxQueuedJobs)
	for first := range w.queue {
		group = w.gather(append(group[:0], first))
		w.commit(group)
		for i, j := range group {
			close(j.done)
			group[i] = nil
		}
		w.store.checkpointer.notify()
		if w.restartRequested.CompareAndSwap(true, false) {
			w.restartWAL()
		}
	}
}

// gather adds the jobs that are queued, without waiting for more.
func (w *writer) gather(group []*job) []*job {
	weight := group[0].weight
	for weight < maxGroupWeight {
		select {
		case j, ok := <-w.queue:
			if !ok {
				return group
			}
			group = append(group, j)
			weight += j.weight
		default:
			return group
		}
	}
	return group
}

// commit runs a group. When a job of it fails, the transaction is rolled back and
// each job runs in its own, so that one cannot make the others fail; savepoints
// would do the same at a cost for every job.
func (w *writer) commit(group []*job) {
	jobFailed, err := w.try(group)
	switch {
	case err == nil:
	case jobFailed && len(group) > 1:
		for _, j := range group {
			j.err = nil
			if _, err := w.try([]*job{j}); err != nil {
				j.err = err
			}
		}
	default:
		for _, j := range group {
			j.err = err
		}
	}
}

// try runs jobs in one transaction. After an error nothing has changed, and
// jobFailed says whether a job caused it.
func (w *writer) try(group []*job) (jobFailed bool, err error) {
	if err := w.begin(); err != nil {
		w.rollback()
		return false, err
	}
	for i := 0; i < len(group); {
		n := 1
		if group[i].batch != nil {
			for i+n < len(group) && group[i+n].batch != nil {
				n++
			}
			err = w.append(group[i : i+n])
		} else {
			err = w.runJob(group[i])
		}
		if err != nil {
			w.rollback()
			return true, err
		}
		i += n
	}
	w.issued.Store(w.lastChange)
	if _, err := w.conn.exec(`COMMIT`); err != nil {
		w.rollback()
		return false, err
	}
	w.committed.Store(w.used)
	return false, nil
}

// runJob runs a job that is not an Append. A refusal does not affect the group as
// long as the job has changed nothing.
func (w *writer) runJob(j *job) error {
	t := tx{writer: w}
	err := j.run(&t)
	var refusal *chat.Error
	if errors.As(err, &refusal) && !t.wrote {
		j.err = err
		return nil
	}
	return err
}

// begin starts a transaction and clears cached state that may be outdated.
func (w *writer) begin() error {
	if _, err := w.conn.exec(`BEGIN IMMEDIATE`); err != nil {
		return err
	}
	var version int64
	if _, err := w.conn.queryRow(`PRAGMA data_version`, func(r row) { version = r.int(0) }); err != nil {
		return err
	}
	if version == w.version && !w.stale {
		w.cache.trim()
		return nil
	}
	// Another process has committed (an account, for example), a transaction was
	// rolled back, or this is the first one.
	w.cache.clear()
	var ceiling int64
	if _, err := w.conn.queryRow(`SELECT change_ceiling FROM installation`, func(r row) { ceiling = r.int(0) }); err != nil {
		return err
	}
	if ceiling > w.ceiling {
		w.lastChange = max(w.lastChange, ceiling)
	}
	w.ceiling, w.version, w.stale = ceiling, version, false
	w.issued.Store(w.lastChange)
	return nil
}

func (w *writer) rollback() {
	w.stale = true
	w.used = w.committed.Load() // a block that it reserved may be another process's now
	// SQLite may have rolled back already; then this fails, which does no harm.
	_, _ = w.conn.exec(`ROLLBACK`)
}

// nextChange returns the next change number.
func (w *writer) nextChange() (int64, error) {
	if w.lastChange >= w.ceiling {
		ceiling := w.lastChange + changeBlockSize
		if _, err := w.conn.exec(`UPDATE installation SET change_ceiling = ?`, ceiling); err != nil {
			return 0, err
		}
		w.ceiling = ceiling
	}
	w.lastChange++
	w.used = w.lastChange
	return w.lastChange, nil
}

// committedChange returns a change number: who reads after this call sees every
// change up to it, and nothing up to it follows later.
func (s *Store) committedChange(ctx context.Context) (int64, error) {
	if n := s.writer.committed.Load(); n > 0 {
		return n, nil
	}
	// Nothing was changed since the process began, and of the numbers before that
	// only those are known that another process, a command, may still take.
	return change(ctx, s, "take a change number", func(t *tx) (int64, error) {
		t.wrote = true
		return t.nextChange()
	})
}

// exec runs a statement that changes something.
func (t *tx) exec(query string, args ...any) (int64, error) {
	t.wrote = true
	return t.conn.exec(query, args...)
}

// submit queues a job and waits for its commit. The context applies until the job
// is queued; from then on submit waits, because the job will run in any case.
func (s *Store) submit(ctx context.Context, j *job) error {
	if err := s.beginCall(); err != nil {
		return err
	}
	defer s.endCall()
	if err := ctx.Err(); err != nil {
		return err
	}
	j.done = make(chan struct{})
	select {
	case s.writer.queue <- j:
	default:
		select {
		case s.writer.queue <- j:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	<-j.done
	return j.err
}

// change runs fn in the writer and returns its result once it is committed.
func change[T any](ctx context.Context, s *Store, what string, fn func(*tx) (T, error)) (T, error) {
	var out, none T
	err := s.submit(ctx, &job{weight: 1, run: func(t *tx) (err error) {
		out, err = fn(t)
		return err
	}})
	if err != nil {
		return none, s.wrap(what, err)
	}
	return out, nil
}

// read borrows a connection for fn, which sees one state of the database
// however many statements it runs.
func read[T any](ctx context.Context, s *Store, what string, fn func(*conn) (T, error)) (T, error) {
	var none T
	if err := s.beginCall(); err != nil {
		return none, s.wrap(what, err)
	}
	defer s.endCall()
	var c *conn
	if err := ctx.Err(); err != nil {
		return none, s.wrap(what, err)
	}
	select {
	case c = <-s.readers:
	case <-ctx.Done():
		return none, s.wrap(what, ctx.Err())
	}
	defer func() { s.readers <- c }()
	if _, err := c.exec(`BEGIN`); err != nil {
		return none, s.wrap(what, err)
	}
	out, err := fn(c)
	if err != nil {
		_, _ = c.exec(`ROLLBACK`)
		return none, s.wrap(what, err)
	}
	if _, err := c.exec(`COMMIT`); err != nil {
		_, _ = c.exec(`ROLLBACK`)
		return none, s.wrap(what, err)
	}
	return out, nil
}

// Ping writes, because a full disk answers reads.
func (s *Store) Ping(ctx context.Context) error {
	_, err := change(ctx, s, "ping the store", func(t *tx) (struct{}, error) {
		n, err := t.exec(`UPDATE installation SET pings = pings + 1`)
		if err == nil && n != 1 {
			err = fmt.Errorf("the table installation has %d rows", n)
		}
		return struct{}{}, err
	})
	return err
}
