package syncclient

import (
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/client"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// handleFrame is called for each frame, one after the other.
func (d *Client) handleFrame(f client.Frame) {
	switch f.T {
	case "accepted":
		handle(f, d.handleAccepted)
	case "rejected":
		handle(f, d.handleRejected)
	case "failed":
		handle(f, func(v wire.Failed) {
			if d.cfg.OnFailed != nil {
				d.cfg.OnFailed(v.ID, chat.Code(v.Code), v.Text)
			}
		})
	case "message", "edited", "deleted":
		handle(f, func(v wire.MessageFrame) { d.handleMessage(v.Message) })
	case "conversation":
		handle(f, d.handleConversation)
	case "removed":
		handle(f, func(v wire.Removed) { d.removeConversation(v.Conversation) })
	case "mark":
		handle(f, d.handleMark)
	case "resync":
		d.mu.Lock()
		d.syncList()
		d.mu.Unlock()
	case "synced":
		handle(f, d.handleSynced)
	case "changes":
		handle(f, d.handleChanges)
	case "pong":
		handle(f, d.handlePong)
	}
}

func handle[T any](f client.Frame, do func(T)) {
	var v T
	if f.Into(&v) == nil {
		do(v)
	}
}

// handleMessage takes a message that was pushed, if it is the next change.
func (d *Client) handleMessage(m wire.Message) {
	d.mu.Lock()
	next := d.advance(m.Conversation, m.Rev)
	d.mu.Unlock()
	if next {
		d.emit(m)
	}
}

// advance moves to a change if it is the next one, and sees to what is missing
// if it is a later one.
func (d *Client) advance(id chat.ConversationID, rev int64) bool {
	v := d.conversations[id]
	if v == nil {
		d.syncList()
		return false
	}
	v.latest = max(v.latest, rev)
	if rev == v.rev+1 {
		v.rev = rev
		return true
	}
	d.catchUp(id, v)
	return false
}

func (d *Client) emit(m wire.Message) {
	if d.cfg.OnMessage != nil {
		d.cfg.OnMessage(m)
	}
}

func (d *Client) handleConversation(f wire.ConversationFrame) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.advance(f.Conversation.ID, f.Conversation.Rev)
}

func (d *Client) removeConversation(id chat.ConversationID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.conversations, id)
}

func (d *Client) handleMark(f wire.MarkFrame) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if v := d.conversations[f.Conversation]; v != nil && f.User == d.me {
		v.read = max(v.read, f.Read)
	}
}

// syncList asks what changed.
func (d *Client) syncList() {
	if d.listSyncing {
		d.listAgain = true
		return
	}
	d.listSyncing = true
	d.send(wire.Sync{T: "sync", ID: "list", Cursor: d.cursor})
}

func (d *Client) handleSynced(f wire.Synced) {
	d.mu.Lock()
	defer d.mu.Unlock()
	first := !d.synced
	d.cursor, d.listSyncing = f.Cursor, false
	for _, id := range f.Gone {
		delete(d.conversations, id)
	}
	for i := range f.Conversations {
		s := &f.Conversations[i]
		v := d.conversations[s.ID]
		if v == nil {
			v = &conversation{}
			if first && !d.cfg.FromStart {
				v.rev = s.Rev
			}
			d.conversations[s.ID] = v
		}
		v.read, v.latest = max(v.read, s.Read), max(v.latest, s.Rev)
		d.catchUp(s.ID, v)
	}
	if f.More || d.listAgain {
		d.listAgain = false
		d.syncList()
		return
	}
	d.synced = true
}

// catchUp asks for the changes that are missing, unless it has.
func (d *Client) catchUp(id chat.ConversationID, v *conversation) {
	if v.rev >= v.latest || !v.syncSentAt.IsZero() {
		return
	}
	v.syncSentAt, v.syncTarget = time.Now(), v.latest
	d.send(wire.Sync{T: "sync", ID: id.String(), Conversation: id, Rev: v.rev})
}

func (d *Client) handleChanges(f wire.Changes) {
	d.mu.Lock()
	v := d.conversations[f.Conversation]
	if v == nil {
		d.mu.Unlock()
		return
	}
	v.syncSentAt = time.Time{}
	had := v.rev
	v.rev = max(v.rev, f.Rev)
	if !f.More { // then the changes up to there that are not in it are none of messages
		v.rev = max(v.rev, v.syncTarget)
	}
	v.latest = max(v.latest, v.rev)
	d.catchUp(f.Conversation, v)
	d.mu.Unlock()
	for _, m := range f.Messages {
		if m.Rev > had {
			d.emit(m)
		}
	}
}

// handlePong is the head check. What is on its way has a second to come.
func (d *Client) handlePong(f wire.Pong) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !f.Checked {
		return
	}
	if f.Sum <= d.revSum() && f.Conversations == len(d.conversations) {
		d.serverSum = 0
		return
	}
	if d.serverSum == 0 {
		d.serverSum, d.serverCount, d.behindSince = max(f.Sum, 1), f.Conversations, time.Now()
	}
}

func (d *Client) revSum() (sum int64) {
	for _, v := range d.conversations {
		sum += v.rev + v.read
	}
	return sum
}

// syncTimeout is how long a sync may be without an answer: the server may have
// refused it, because there were too many.
const syncTimeout = 5 * time.Second

// resync sees to what the last head check found missing.
func (d *Client) resync() {
	now := time.Now()
	for id, v := range d.conversations {
		if !v.syncSentAt.IsZero() && now.Sub(v.syncSentAt) > syncTimeout {
			v.syncSentAt = time.Time{}
			d.catchUp(id, v)
		}
	}
	if d.serverSum == 0 || now.Sub(d.behindSince) < time.Second {
		return
	}
	if d.serverSum > d.revSum() || d.serverCount != len(d.conversations) {
		d.listSyncing = d.listSyncing && now.Sub(d.behindSince) < syncTimeout
		d.syncList()
	}
	d.serverSum = 0
}
