package syncclient

import (
	"slices"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

func (c *Client) flushAll() {
	for _, box := range c.outboxes {
		c.flush(box)
	}
}

// flush sends the messages of an outbox that may be sent, in order. c.mu must
// be held.
func (c *Client) flush(box *outbox) {
	if c.socket == nil || time.Now().Before(box.resumeAt) {
		return
	}
	for _, m := range box.messages {
		if m.inFlight {
			continue
		}
		if c.inFlight >= c.cfg.MaxInFlight {
			return
		}
		m.inFlight = true
		c.inFlight++
		c.send(m.Send)
	}
}

// find returns the outbox and position of an unanswered message.
func (c *Client) find(id chat.ClientID) (*outbox, int) {
	// It is nearly always the oldest one of its conversation.
	for _, box := range c.outboxes {
		for i, m := range box.messages {
			if m.ID == id {
				return box, i
			}
		}
	}
	return nil, 0
}

// remove removes a message from its outbox because it is answered. It returns
// nil when it was answered before, on an earlier connection.
func (c *Client) remove(id chat.ClientID) *Outgoing {
	box, i := c.find(id)
	if box == nil {
		return nil // answered before, on an earlier connection
	}
	m := box.messages[i]
	box.messages = slices.Delete(box.messages, i, i+1)
	c.pending--
	if m.inFlight {
		c.inFlight--
	}
	return m
}

func (c *Client) handleAccepted(a wire.Accepted) {
	c.mu.Lock()
	m := c.remove(a.ID)
	c.flushAll()
	c.mu.Unlock()
	if m != nil {
		m.AcceptedAt = time.Now()
		if c.cfg.OnAccepted != nil {
			c.cfg.OnAccepted(m)
		}
	}
}

// handleRejected retries later when the server says so. The messages of the
// same conversation that followed are rejected as well, and are sent again in
// order.
func (c *Client) handleRejected(r wire.Rejected) {
	c.mu.Lock()
	if r.RetryAfterMS > 0 {
		if box, i := c.find(r.ID); box != nil && box.messages[i].inFlight {
			box.messages[i].inFlight = false
			c.inFlight--
			if at := time.Now().Add(time.Duration(r.RetryAfterMS) * time.Millisecond); at.After(box.resumeAt) {
				box.resumeAt = at
			}
		}
		c.mu.Unlock()
		return
	}
	m := c.remove(r.ID)
	c.flushAll()
	c.mu.Unlock()
	if m != nil && c.cfg.OnFailed != nil {
		c.cfg.OnFailed(r.ID, chat.Code(r.Code), r.Text)
	}
}
