package hikyaku

import (
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/client"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// readyTimeout bounds the wait until a socket is open.
const readyTimeout = time.Minute

// synchronize handles the other frames that concern conversations, and the
// answers to syncs. A user starts at the state that the first connection finds.
func (c *conn) synchronize(f client.Frame) {
	out := c.sync.machine.Handle(time.Now(), f.T, f.Raw)
	if out.After > 0 && len(out.Send) > 0 {
		time.AfterFunc(out.After, func() { c.sendSyncs(out.Send) })
	} else {
		c.sendSyncs(out.Send)
	}
	if f.T == "changes" {
		c.handleChanges(out.Messages)
	}
	c.checkSynced()
}

// sendSyncs sends frames without blocking: the goroutine that reads this socket
// reads others, too. The reader notices a lost connection.
func (c *conn) sendSyncs(frames []wire.Sync) {
	if len(frames) == 0 {
		return
	}
	go func() {
		select {
		case <-c.ready:
			for i := range frames {
				_ = c.socket.Send(frames[i])
			}
		case <-time.After(readyTimeout):
		}
	}()
}

// checkSynced closes synced when nothing is missing for the first time.
func (c *conn) checkSynced() {
	if !c.isSynced && c.sync.machine.Whole() {
		c.isSynced = true
		close(c.synced)
	}
}
