package syncclient

import (
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
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
		handle(f, func(v wire.Failed) {
			if c.cfg.OnFailed != nil {
				c.cfg.OnFailed(v.ID, chat.Code(v.Code), v.Text)
			}
		})
	case "message", "edited", "deleted":
		handle(f, func(v wire.MessageFrame) { c.handleMessage(v.Message) })
	case "conversation":
		handle(f, c.handleConversation)
	case "removed":
		handle(f, func(v wire.Removed) { c.removeConversation(v.Conversation) })
	case "mark":
		handle(f, c.handleMark)
	case "resync":
		c.mu.Lock()
		c.syncList()
		c.mu.Unlock()
	case "synced":
		handle(f, c.handleSynced)
	case "changes":
		handle(f, c.handleChanges)
	case "pong":
		handle(f, c.handlePong)
	}
}

func handle[T any](f client.Frame, do func(T)) {
	var v T
	if f.Into(&v) == nil {
		do(v)
	}
}

// handleMessage takes a pushed message if it is the next change.
func (c *Client) handleMessage(m wire.Message) {
	c.mu.Lock()
	next := c.advance(m.Conversation, m.Rev)
	c.mu.Unlock()
	if next {
		c.emit(m)
	}
}

// advance moves to a change if it is the next one, and reports whether it is.
// If changes are missing it starts a sync. c.mu must be held.
func (c *Client) advance(id chat.ConversationID, rev int64) bool {
	v := c.conversations[id]
	if v == nil {
		c.syncList()
		return false
	}
	v.latest = max(v.latest, rev)
	if rev == v.rev+1 {
		v.rev = rev
		return true
	}
	c.catchUp(id, v)
	return false
}

func (c *Client) emit(m wire.Message) {
	if c.cfg.OnMessage != nil {
		c.cfg.OnMessage(m)
	}
}

func (c *Client) handleConversation(f wire.ConversationFrame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.advance(f.Conversation.ID, f.Conversation.Rev)
}

func (c *Client) removeConversation(id chat.ConversationID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.conversations, id)
}

func (c *Client) handleMark(f wire.MarkFrame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v := c.conversations[f.Conversation]; v != nil && f.User == c.me {
		v.read = max(v.read, f.Read)
	}
}

// syncList requests the conversations that changed. c.mu must be held.
func (c *Client) syncList() {
	if c.listSyncing {
		c.listAgain = true
		return
	}
	c.listSyncing = true
	c.send(wire.Sync{T: "sync", ID: "list", Cursor: c.cursor})
}

func (c *Client) handleSynced(f wire.Synced) {
	c.mu.Lock()
	defer c.mu.Unlock()
	first := !c.synced
	c.cursor, c.listSyncing = f.Cursor, false
	for _, id := range f.Gone {
		delete(c.conversations, id)
	}
	for i := range f.Conversations {
		s := &f.Conversations[i]
		v := c.conversations[s.ID]
		if v == nil {
			v = &conversation{}
			if first && !c.cfg.FromStart {
				v.rev = s.Rev
			}
			c.conversations[s.ID] = v
		}
		v.read, v.latest = max(v.read, s.Read), max(v.latest, s.Rev)
		c.catchUp(s.ID, v)
	}
	if f.More || c.listAgain {
		c.listAgain = false
		c.syncList()
		return
	}
	c.synced = true
}

// catchUp requests the changes that are missing, unless a sync is under way.
// c.mu must be held.
func (c *Client) catchUp(id chat.ConversationID, v *conversation) {
	if v.rev >= v.latest || !v.syncSentAt.IsZero() {
		return
	}
	v.syncSentAt, v.syncTarget = time.Now(), v.latest
	c.send(wire.Sync{T: "sync", ID: id.String(), Conversation: id, Rev: v.rev})
}

func (c *Client) handleChanges(f wire.Changes) {
	c.mu.Lock()
	v := c.conversations[f.Conversation]
	if v == nil {
		c.mu.Unlock()
		return
	}
	v.syncSentAt = time.Time{}
	had := v.rev
	v.rev = max(v.rev, f.Rev)
	if !f.More { // then the changes up to syncTarget that are not in it are not messages
		v.rev = max(v.rev, v.syncTarget)
	}
	v.latest = max(v.latest, v.rev)
	c.catchUp(f.Conversation, v)
	c.mu.Unlock()
	for _, m := range f.Messages {
		if m.Rev > had {
			c.emit(m)
		}
	}
}

// handlePong compares the head check with the client's state. Frames that are
// still on their way have a second to arrive.
func (c *Client) handlePong(f wire.Pong) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !f.Checked {
		return
	}
	if f.Sum <= c.revSum() && f.Conversations == len(c.conversations) {
		c.serverSum = 0
		return
	}
	if c.serverSum == 0 {
		c.serverSum, c.serverCount, c.behindSince = max(f.Sum, 1), f.Conversations, time.Now()
	}
}

func (c *Client) revSum() (sum int64) {
	for _, v := range c.conversations {
		sum += v.rev + v.read
	}
	return sum
}

// syncTimeout is how long a sync may be unanswered: the server may have refused
// it because there were too many.
const syncTimeout = 5 * time.Second

// resync requests again what was not answered in time, and what the last head
// check found missing. c.mu must be held.
func (c *Client) resync() {
	now := time.Now()
	for id, v := range c.conversations {
		if !v.syncSentAt.IsZero() && now.Sub(v.syncSentAt) > syncTimeout {
			v.syncSentAt = time.Time{}
			c.catchUp(id, v)
		}
	}
	if c.serverSum == 0 || now.Sub(c.behindSince) < time.Second {
		return
	}
	if c.serverSum > c.revSum() || c.serverCount != len(c.conversations) {
		c.listSyncing = c.listSyncing && now.Sub(c.behindSince) < syncTimeout
		c.syncList()
	}
	c.serverSum = 0
}
