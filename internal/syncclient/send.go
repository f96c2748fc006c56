package syncclient

import (
	"slices"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

func (d *Client) flushAll() {
	for _, box := range d.outboxes {
		d.flush(box)
	}
}

// flush sends what may be sent of a conversation, in order.
func (d *Client) flush(box *outbox) {
	if d.socket == nil || time.Now().Before(box.resumeAt) {
		return
	}
	for _, m := range box.messages {
		if m.inFlight {
			continue
		}
		if d.inFlight >= d.cfg.MaxInFlight {
			return
		}
		m.inFlight = true
		d.inFlight++
		d.send(m.Send)
	}
}

// find is a message without an answer.
func (d *Client) find(id chat.ClientID) (*outbox, int) {
	// It is nearly always the oldest of its conversation.
	for _, box := range d.outboxes {
		for i, m := range box.messages {
			if m.ID == id {
				return box, i
			}
		}
	}
	return nil, 0
}

// remove takes a message off, because it has its answer.
func (d *Client) remove(id chat.ClientID) *Outgoing {
	box, i := d.find(id)
	if box == nil {
		return nil // answered before, on an earlier connection
	}
	m := box.messages[i]
	box.messages = slices.Delete(box.messages, i, i+1)
	d.pending--
	if m.inFlight {
		d.inFlight--
	}
	return m
}

func (d *Client) handleAccepted(a wire.Accepted) {
	d.mu.Lock()
	m := d.remove(a.ID)
	d.flushAll()
	d.mu.Unlock()
	if m != nil {
		m.AcceptedAt = time.Now()
		if d.cfg.OnAccepted != nil {
			d.cfg.OnAccepted(m)
		}
	}
}

// handleRejected tries again later when the server says so; those of the same
// conversation that followed are rejected as well, and go in their order.
func (d *Client) handleRejected(r wire.Rejected) {
	d.mu.Lock()
	if r.RetryAfterMS > 0 {
		if box, i := d.find(r.ID); box != nil && box.messages[i].inFlight {
			box.messages[i].inFlight = false
			d.inFlight--
			if at := time.Now().Add(time.Duration(r.RetryAfterMS) * time.Millisecond); at.After(box.resumeAt) {
				box.resumeAt = at
			}
		}
		d.mu.Unlock()
		return
	}
	m := d.remove(r.ID)
	d.flushAll()
	d.mu.Unlock()
	if m != nil && d.cfg.OnFailed != nil {
		d.cfg.OnFailed(r.ID, chat.Code(r.Code), r.Text)
	}
}
