package syncclient

import (
	"slices"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

func (d *Client) pumpAll() {
	for _, box := range d.outboxes {
		d.pump(box)
	}
}

// pump sends what may be sent of a conversation, in order.
func (d *Client) pump(box *outbox) {
	if d.socket == nil || time.Now().Before(box.resume) {
		return
	}
	for _, m := range box.messages {
		if m.out {
			continue
		}
		if d.inFlight >= d.cfg.Window {
			return
		}
		m.out = true
		d.inFlight++
		d.say(m.Send)
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

// answered takes a message off, because it has its answer.
func (d *Client) answered(id chat.ClientID) *Outgoing {
	box, i := d.find(id)
	if box == nil {
		return nil // answered before, on an earlier connection
	}
	m := box.messages[i]
	box.messages = slices.Delete(box.messages, i, i+1)
	d.waiting--
	if m.out {
		d.inFlight--
	}
	return m
}

func (d *Client) accepted(a wire.Accepted) {
	d.mu.Lock()
	m := d.answered(a.ID)
	d.pumpAll()
	d.mu.Unlock()
	if m != nil {
		m.Accepted = time.Now()
		if d.cfg.OnAccepted != nil {
			d.cfg.OnAccepted(m)
		}
	}
}

// rejected tries again later when the server says so; those of the same
// conversation that followed are rejected as well, and go in their order.
func (d *Client) rejected(r wire.Rejected) {
	d.mu.Lock()
	if r.RetryAfterMS > 0 {
		if box, i := d.find(r.ID); box != nil && box.messages[i].out {
			box.messages[i].out = false
			d.inFlight--
			if at := time.Now().Add(time.Duration(r.RetryAfterMS) * time.Millisecond); at.After(box.resume) {
				box.resume = at
			}
		}
		d.mu.Unlock()
		return
	}
	m := d.answered(r.ID)
	d.pumpAll()
	d.mu.Unlock()
	if m != nil && d.cfg.OnFailed != nil {
		d.cfg.OnFailed(r.ID, chat.Code(r.Code), r.Text)
	}
}
