package sqlite

import (
	"fmt"
	"log/slog"

	"github.com/hikyaku-chat/hikyaku/internal/batching"
)

const (
	// logPages is how much of the log gathers before it is moved: 8 MiB.
	logPages = 2048
	// restartWait is how many milliseconds the writer waits for readers when
	// it starts the log anew. Readers are short; one that is not (a backup)
	// puts it off until the log has grown by logPages again.
	restartWait = 10
)

// checkpointer moves the write-ahead log into the database file while the
// writer goes on. Only a log that was moved to its end can be started anew,
// and under load the writer is always ahead; so the checkpointer does the bulk
// and then asks the writer to do the rest between two groups.
type checkpointer struct {
	conn *conn
	log  *slog.Logger
	bell batching.Signal
	done chan struct{}
}

func newCheckpointer(c *conn, log *slog.Logger) *checkpointer {
	return &checkpointer{conn: c, log: log, bell: batching.NewSignal(), done: make(chan struct{})}
}

// wake says that the log has grown. It never blocks.
func (c *checkpointer) wake() { c.bell.Notify() }

// close stops the checkpointer. The writer must have stopped.
func (c *checkpointer) close() error {
	close(c.bell)
	<-c.done
	return c.conn.close()
}

func (c *checkpointer) run(w *writer) {
	defer close(c.done)
	var last int64 // length of the log when it was moved the last time
	for range c.bell {
		n, err := c.pages(`PRAGMA wal_checkpoint(NOOP)`)
		if n < last {
			last = 0 // it was started anew
		}
		if err == nil && n-last >= logPages {
			last, err = c.pages(`PRAGMA wal_checkpoint(PASSIVE)`)
			w.restart.Store(true)
		}
		if err != nil {
			c.log.Warn("the log of the database could not be moved into it; it grows", "err", err)
		}
	}
}

// pages runs a checkpoint and gives the length of the log.
func (c *checkpointer) pages(pragma string) (n int64, err error) {
	_, err = c.conn.one(pragma, func(r row) { n = r.int(1) })
	return n, err
}

// newLog moves what is left of the log, a few groups at most, and starts it
// anew. When it cannot, the log goes on growing until the next try.
func (w *writer) newLog() {
	for _, p := range restartSteps {
		if _, err := w.conn.exec(p); err != nil {
			w.store.log.Warn("the log of the database could not be started anew; it grows", "err", err)
		}
	}
}

var restartSteps = [...]string{
	fmt.Sprintf(`PRAGMA busy_timeout = %d`, restartWait),
	`PRAGMA wal_checkpoint(RESTART)`,
	fmt.Sprintf(`PRAGMA busy_timeout = %d`, busyTimeout.Milliseconds()),
}
