package syncclient

import (
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/client"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// handleFrame is called for each frame, one after the other.
func (c *Client) handleFrame(f client.Frame) {
	switch f.T {
	case "accepted":
		handle(f, c.handleAccepted)
	case "rejected":
		handle(f, c.handleRejected)
	case "failed":
		handle(f, func(v wire.Failed) { c.handleFailure(v.Failure) })
	case "synced":
		handle(f, func(v struct {
			Failed []wire.Failure `json:"failed"`
		},
		) {
			for _, failure := range v.Failed {
				c.handleFailure(failure)
			}
		})
		c.synchronize(f)
	default:
		c.synchronize(f)
	}
}

func handle[T any](f client.Frame, do func(T)) {
	var v T
	if f.Into(&v) == nil {
		do(v)
	}
}

// synchronize handles the frames that concern conversations, and the answers to
// syncs.
func (c *Client) synchronize(f client.Frame) {
	c.mu.Lock()
	out := c.state.Handle(time.Now(), f.T, f.Raw)
	c.sendSyncs(out.Send)
	for i := range out.Messages {
		c.noteStored(&out.Messages[i])
	}
	c.mu.Unlock()
	if c.cfg.OnMessage != nil {
		for i := range out.Messages {
			c.cfg.OnMessage(out.Messages[i])
		}
	}
}
