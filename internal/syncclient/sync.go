package syncclient

import (
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/client"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// heard is called for each frame, one after the other.
func (d *Client) heard(f client.Frame) {
	switch f.T {
	case "accepted":
		take(f, d.accepted)
	case "rejected":
		take(f, d.rejected)
	case "failed":
		take(f, func(v wire.Failed) {
			if d.cfg.OnFailed != nil {
				d.cfg.OnFailed(v.ID, chat.Code(v.Code), v.Text)
			}
		})
	default:
		d.synchronize(f)
	}
}

func take[T any](f client.Frame, do func(T)) {
	var v T
	if f.Into(&v) == nil {
		do(v)
	}
}

// synchronize takes a frame that tells of conversations, or answers a sync.
func (d *Client) synchronize(f client.Frame) {
	d.mu.Lock()
	out := d.state.Handle(time.Now(), f.T, f.Raw)
	if out.After == 0 {
		d.ask(out.Send)
	} else if s := d.socket; len(out.Send) > 0 {
		time.AfterFunc(out.After, func() {
			d.mu.Lock()
			defer d.mu.Unlock()
			if d.socket == s {
				d.ask(out.Send)
			}
		})
	}
	d.mu.Unlock()
	if d.cfg.OnMessage != nil {
		for i := range out.Messages {
			d.cfg.OnMessage(out.Messages[i])
		}
	}
}
