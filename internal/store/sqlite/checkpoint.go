package sqlite

import (
	"fmt"
	"log/slog"

	"github.com/hikyaku-chat/hikyaku/internal/batching"
)

const (
	// walPages is how large the log grows before it is moved: 8 MiB.
	walPages = 2048
	// restartTimeoutMS is how many milliseconds the writer waits for readers when
	// it restarts the log. Readers are short; one that is not (a backup) delays
	// the restart until the log has grown by walPages again.
	restartTimeoutMS = 10
)

// checkpointer moves the write-ahead log into the database file while the writer
// continues. Only a log that was moved completely can be restarted, and under
// load the writer is always ahead. So the checkpointer moves most of it and then
// asks the writer to move the rest between two groups.
type checkpointer struct {
	conn   *conn
	log    *slog.Logger
	signal batching.Signal
	done   chan struct{}
}

func newCheckpointer(c *conn, log *slog.Logger) *checkpointer {
	return &checkpointer{conn: c, log: log, signal: batching.NewSignal(), done: make(chan struct{})}
}

// notify tells the checkpointer that the log has grown. It never blocks.
func (c *checkpointer) notify() { c.signal.Notify() }

// close stops the checkpointer. The writer must have stopped.
func (c *checkpointer) close() error {
	close(c.signal)
	<-c.done
	return c.conn.close()
}

func (c *checkpointer) run(w *writer) {
	defer close(c.done)
	var last int64 // length of the log when it was last moved
	for range c.signal {
		n, err := c.pages(`PRAGMA wal_checkpoint(NOOP)`)
		if n < last {
			last = 0 // it was restarted
		}
		if err == nil && n-last >= walPages {
			last, err = c.pages(`PRAGMA wal_checkpoint(PASSIVE)`)
			w.restartRequested.Store(true)
		}
		if err != nil {
			c.log.Warn("the write-ahead log could not be checkpointed and grows", "error", err)
		}
	}
}

// pages runs a checkpoint and returns the length of the log in pages.
func (c *checkpointer) pages(pragma string) (n int64, err error) {
	_, err = c.conn.queryRow(pragma, func(r row) { n = r.int(1) })
	return n, err
}

// restartWAL moves what is left of the log, a few groups at most, and restarts
// it. When that fails, the log grows until the next attempt.
func (w *writer) restartWAL() {
	for _, p := range restartSteps {
		if _, err := w.conn.exec(p); err != nil {
			w.store.log.Warn("the write-ahead log could not be restarted and grows", "error", err)
		}
	}
}

var restartSteps = [...]string{
	fmt.Sprintf(`PRAGMA busy_timeout = %d`, restartTimeoutMS),
	`PRAGMA wal_checkpoint(RESTART)`,
	fmt.Sprintf(`PRAGMA busy_timeout = %d`, busyTimeout.Milliseconds()),
}
