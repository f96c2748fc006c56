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
	if m != nil && !m.stored {
		c.accepted[m.ID] = m.digest()
	}
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

// digest is what a failure of the message has.
func (m *Outgoing) digest() chat.Digest {
	s := chat.Submission{Conversation: m.Conversation, ReplyTo: m.ReplyTo, Body: m.Body}
	return s.Digest()
}

// noteStored notes that a message has come: if it is of this client, it will not
// fail. c.mu must be held.
func (c *Client) noteStored(m *wire.Message) {
	delete(c.accepted, m.ClientID)
	if box := c.outboxes[m.Conversation]; box != nil {
		for _, o := range box.messages {
			if o.ID == m.ClientID {
				o.stored = true
			}
		}
	}
}

// handleFailure handles that a message has failed after it was accepted: one of
// this client, or another that was sent under the same id. It may be told more
// than once, and before the message is accepted.
func (c *Client) handleFailure(f wire.Failure) {
	c.mu.Lock()
	digest, mine := c.accepted[f.ID]
	if box, i := c.find(f.ID); box != nil {
		digest, mine = box.messages[i].digest(), true
	}
	if mine = mine && digest == f.Digest; mine {
		delete(c.accepted, f.ID)
		c.remove(f.ID)
		c.flushAll()
	}
	c.mu.Unlock()
	if mine && c.cfg.OnFailed != nil {
		c.cfg.OnFailed(f.ID, chat.Code(f.Code), f.Text)
	}
}
