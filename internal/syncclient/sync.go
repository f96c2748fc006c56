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
	case "message", "edited", "deleted":
		take(f, func(v wire.MessageFrame) { d.live(v.Message) })
	case "conversation":
		take(f, d.changed)
	case "removed":
		take(f, func(v wire.Removed) { d.forget(v.Conversation) })
	case "mark":
		take(f, d.marked)
	case "resync":
		d.mu.Lock()
		d.list()
		d.mu.Unlock()
	case "synced":
		take(f, d.listed)
	case "changes":
		take(f, d.caughtUp)
	case "pong":
		take(f, d.pong)
	}
}

func take[T any](f client.Frame, do func(T)) {
	var v T
	if f.Into(&v) == nil {
		do(v)
	}
}

// live takes a message that was pushed, if it is the next change.
func (d *Client) live(m wire.Message) {
	d.mu.Lock()
	next := d.next(m.Conversation, m.Rev)
	d.mu.Unlock()
	if next {
		d.show(m)
	}
}

// next moves to a change if it is the next one, and sees to what is missing
// if it is a later one.
func (d *Client) next(id chat.ConversationID, rev int64) bool {
	v := d.conversations[id]
	if v == nil {
		d.list()
		return false
	}
	v.most = max(v.most, rev)
	if rev == v.rev+1 {
		v.rev = rev
		return true
	}
	d.catchUp(id, v)
	return false
}

func (d *Client) show(m wire.Message) {
	if d.cfg.OnMessage != nil {
		d.cfg.OnMessage(m)
	}
}

func (d *Client) changed(f wire.ConversationFrame) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.next(f.Conversation.ID, f.Conversation.Rev)
}

func (d *Client) forget(id chat.ConversationID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.conversations, id)
}

func (d *Client) marked(f wire.MarkFrame) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if v := d.conversations[f.Conversation]; v != nil && f.User == d.me {
		v.read = max(v.read, f.Read)
	}
}

// list asks what changed.
func (d *Client) list() {
	if d.listing {
		d.again = true
		return
	}
	d.listing = true
	d.say(wire.Sync{T: "sync", ID: "list", Cursor: d.cursor})
}

func (d *Client) listed(f wire.Synced) {
	d.mu.Lock()
	defer d.mu.Unlock()
	first := !d.synced
	d.cursor, d.listing = f.Cursor, false
	for _, id := range f.Gone {
		delete(d.conversations, id)
	}
	for i := range f.Conversations {
		s := &f.Conversations[i]
		v := d.conversations[s.ID]
		if v == nil {
			v = &view{}
			if first && !d.cfg.FromStart {
				v.rev = s.Rev
			}
			d.conversations[s.ID] = v
		}
		v.read, v.most = max(v.read, s.Read), max(v.most, s.Rev)
		d.catchUp(s.ID, v)
	}
	if f.More || d.again {
		d.again = false
		d.list()
		return
	}
	d.synced = true
}

// catchUp asks for the changes that are missing, unless it has.
func (d *Client) catchUp(id chat.ConversationID, v *view) {
	if v.rev >= v.most || !v.asked.IsZero() {
		return
	}
	v.asked, v.asking = time.Now(), v.most
	d.say(wire.Sync{T: "sync", ID: id.String(), Conversation: id, Rev: v.rev})
}

func (d *Client) caughtUp(f wire.Changes) {
	d.mu.Lock()
	v := d.conversations[f.Conversation]
	if v == nil {
		d.mu.Unlock()
		return
	}
	v.asked = time.Time{}
	had := v.rev
	v.rev = max(v.rev, f.Rev)
	if !f.More { // then the changes up to there that are not in it are none of messages
		v.rev = max(v.rev, v.asking)
	}
	v.most = max(v.most, v.rev)
	d.catchUp(f.Conversation, v)
	d.mu.Unlock()
	for _, m := range f.Messages {
		if m.Rev > had {
			d.show(m)
		}
	}
}

// pong is the head check. What is on its way has a second to come.
func (d *Client) pong(f wire.Pong) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !f.Checked {
		return
	}
	if f.Sum <= d.sum() && f.Conversations == len(d.conversations) {
		d.lag = 0
		return
	}
	if d.lag == 0 {
		d.lag, d.count, d.behind = max(f.Sum, 1), f.Conversations, time.Now()
	}
}

func (d *Client) sum() (sum int64) {
	for _, v := range d.conversations {
		sum += v.rev + v.read
	}
	return sum
}

// unanswered is how long a sync may be without an answer: the server may have
// refused it, because there were too many.
const unanswered = 5 * time.Second

// repair sees to what the last head check found missing.
func (d *Client) repair() {
	now := time.Now()
	for id, v := range d.conversations {
		if !v.asked.IsZero() && now.Sub(v.asked) > unanswered {
			v.asked = time.Time{}
			d.catchUp(id, v)
		}
	}
	if d.lag == 0 || now.Sub(d.behind) < time.Second {
		return
	}
	if d.lag > d.sum() || d.count != len(d.conversations) {
		d.listing = d.listing && now.Sub(d.behind) < unanswered
		d.list()
	}
	d.lag = 0
}
