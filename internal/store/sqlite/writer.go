package sqlite

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

const (
	// queued is how many changes may wait; callers wait beyond, as long as
	// their context allows.
	queued = 1024
	// groupWeight ends a group, so that the first in it does not wait for ever.
	// A message weighs 1.
	groupWeight = 4096
	// block is how many change numbers are taken at a time. What is left of a
	// block when the process ends is never used.
	block = 1 << 16
)

// writer is the one that changes the database. It gathers what was queued
// while the last commit was in flight and commits it in one transaction.
type writer struct {
	store *Store
	conn  *conn
	queue chan *job
	done  chan struct{}

	known   *cache
	change  int64        // the last change number
	ceiling int64        // the end of the block in the database
	issued  atomic.Int64 // no reader can see a change number above it
	version int64        // PRAGMA data_version as of the last group
	stale   bool         // what the writer knows may be undone: read it again

	seen    map[store.SendKey]*chat.Outcome // of the batch under way; see append.go
	inserts inserter
	restart atomic.Bool // the checkpointer asks for a new log
}

// job is a queued change.
type job struct {
	run    func(*tx) error
	batch  *batch // in place of run, for Append
	weight int
	err    error
	done   chan struct{}
}

// tx is what a job works with. Jobs may be run again from the start, so they
// keep nothing from a run that failed.
type tx struct {
	*writer
	wrote bool // the job under way has changed something
}

func newWriter(c *conn, s *Store) (*writer, error) {
	w := &writer{
		store: s, conn: c, queue: make(chan *job, queued), done: make(chan struct{}),
		known: newCache(), stale: true, seen: map[store.SendKey]*chat.Outcome{},
	}
	_, err := w.try(nil) // learns the change number
	return w, err
}

// stop waits until the queue is empty. No call may be in flight.
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
	group := make([]*job, 0, queued)
	for first := range w.queue {
		group = w.gather(append(group[:0], first))
		w.commit(group)
		for i, j := range group {
			close(j.done)
			group[i] = nil
		}
		w.store.check.wake()
		if w.restart.CompareAndSwap(true, false) {
			w.newLog()
		}
	}
}

// gather adds what is waiting, without waiting for more.
func (w *writer) gather(group []*job) []*job {
	weight := group[0].weight
	for weight < groupWeight {
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

// commit runs a group. When a job of it meets trouble, the whole is undone and
// each job runs alone, so that one cannot take the others down; savepoints
// would do the same at a cost to every job.
func (w *writer) commit(group []*job) {
	alone, err := w.try(group)
	switch {
	case err == nil:
	case alone && len(group) > 1:
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
// alone tells whether one job caused it.
func (w *writer) try(group []*job) (alone bool, err error) {
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
	w.issued.Store(w.change)
	if _, err := w.conn.exec(`COMMIT`); err != nil {
		w.rollback()
		return false, err
	}
	return false, nil
}

// runJob runs a job that is not an Append. A refusal is the job's own affair
// as long as it has changed nothing.
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

// begin starts a transaction and forgets what may be wrong by now.
func (w *writer) begin() error {
	if _, err := w.conn.exec(`BEGIN IMMEDIATE`); err != nil {
		return err
	}
	var version int64
	if _, err := w.conn.one(`PRAGMA data_version`, func(r row) { version = r.int(0) }); err != nil {
		return err
	}
	if version == w.version && !w.stale {
		w.known.trim()
		return nil
	}
	// Another process has committed (made an account, say), a transaction was
	// rolled back, or this is the first.
	w.known.clear()
	var ceiling int64
	if _, err := w.conn.one(`SELECT change_ceiling FROM installation`, func(r row) { ceiling = r.int(0) }); err != nil {
		return err
	}
	if ceiling > w.ceiling {
		w.change = max(w.change, ceiling)
	}
	w.ceiling, w.version, w.stale = ceiling, version, false
	w.issued.Store(w.change)
	return nil
}

func (w *writer) rollback() {
	w.stale = true
	// SQLite may have rolled back by itself; then this fails, and that is fine.
	_, _ = w.conn.exec(`ROLLBACK`)
}

// nextChange takes a change number.
func (w *writer) nextChange() (int64, error) {
	if w.change >= w.ceiling {
		ceiling := w.change + block
		if _, err := w.conn.exec(`UPDATE installation SET change_ceiling = ?`, ceiling); err != nil {
			return 0, err
		}
		w.ceiling = ceiling
	}
	w.change++
	return w.change, nil
}

// exec changes something.
func (t *tx) exec(query string, args ...any) (int64, error) {
	t.wrote = true
	return t.conn.exec(query, args...)
}

// submit queues a job and waits for its commit. The context counts until the
// job is queued; from then on the answer is waited for, because it will be
// done in any case.
func (s *Store) submit(ctx context.Context, j *job) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
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

// change runs fn in the writer and gives its result once it is committed.
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
	if err := s.enter(); err != nil {
		return none, s.wrap(what, err)
	}
	defer s.leave()
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
