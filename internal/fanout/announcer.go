// Package fanout turns what happened into frames and sends them to the
// gateways that hold the people concerned. Workers, the API and gateways
// announce through it, always after the change is committed.
//
// Small conversations are delivered by recipient: presence says which nodes
// hold them, and each node gets one envelope a batch. Large ones are delivered
// once per gateway, which fans out to its own sockets. What is lost on the way
// is repaired by the devices (G4), so announcing returns no errors; it logs
// them.
//
// Recipients of a new message whom presence finds nowhere are told of to the
// notifier, when there is one. Of whom it does not know are not, they may well
// be here; nor are members of large conversations: nobody asks where they all
// are.
package fanout

import (
	"context"
	"log/slog"
	"slices"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/notifyqueue"
	"github.com/hikyaku-chat/hikyaku/internal/presence"
	"github.com/hikyaku-chat/hikyaku/internal/pubsub"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// Bus is what delivery needs of the bus.
type Bus interface {
	Publish(ctx context.Context, node string, e *pubsub.Envelope) error
	Broadcast(ctx context.Context, e *pubsub.Envelope) error
}

// Locator knows which nodes hold a user's devices; see presence.Presence.
type Locator interface {
	NodesOf(ctx context.Context, users []chat.UserID) ([][]string, error)
}

// Directory finds people and the audience of a conversation.
type Directory interface {
	Users(ctx context.Context, ids []chat.UserID) ([]chat.User, error)
	Audience(ctx context.Context, id chat.ConversationID) (chat.Audience, error)
}

// NotificationQueue hears of messages that people without a device have missed; see
// package notifyqueue. It must not block.
type NotificationQueue interface {
	Publish(jobs []notifyqueue.Job)
}

// Announcer announces. It is safe for concurrent use; what one goroutine
// announces about one conversation keeps its order.
type Announcer struct {
	bus       Bus
	locator   *locator
	directory Directory
	notifier  NotificationQueue // nil for none
	log       *slog.Logger
}

// NewAnnouncer makes an announcer.
func NewAnnouncer(b Bus, l Locator, d Directory, log *slog.Logger) *Announcer {
	return &Announcer{bus: b, locator: newLocator(l, log), directory: d, log: log}
}

// WithNotifications is the announcer with a notifier.
func (a *Announcer) WithNotifications(n NotificationQueue) *Announcer {
	with := *a
	with.notifier = n
	return &with
}

// outgoingFrame is a frame and who gets it.
type outgoingFrame struct {
	audience chat.Audience // with Members, by recipient; else by gateway
	frame    []byte
	notify   *chat.Message // what recipients who are away are notified of; nil for nothing
}

// send delivers letters in their order.
func (a *Announcer) send(ctx context.Context, letters []outgoingFrame) {
	var users []chat.UserID // of all letters, one after the other
	var rooms pubsub.Envelope
	for _, l := range letters {
		if l.audience.Large() {
			rooms.Items = append(rooms.Items, pubsub.Item{Room: &pubsub.Room{
				Conversation: l.audience.Conversation, MembersRev: l.audience.MembersRev, Frame: l.frame,
			}})
			continue
		}
		users = append(users, l.audience.Members...)
	}
	if len(users) > 0 {
		a.sendByRecipient(ctx, letters, users)
	}
	if len(rooms.Items) > 0 {
		a.broadcast(ctx, &rooms)
	}
}

func (a *Announcer) sendByRecipient(ctx context.Context, letters []outgoingFrame, users []chat.UserID) {
	where, unknown := a.locator.locate(ctx, users)
	nodes := map[string]*pubsub.Envelope{}
	var missed []notifyqueue.Job
	for _, l := range letters {
		if l.audience.Large() {
			continue
		}
		if a.notifier != nil && l.notify != nil {
			if absent := offlineRecipients(l, where, unknown); len(absent) > 0 {
				missed = append(missed, notifyqueue.NewJob(l.notify, absent))
			}
		}
		for i, user := range l.audience.Members {
			for _, node := range where[i] {
				e := nodes[node]
				if e == nil {
					e = &pubsub.Envelope{}
					nodes[node] = e
				}
				// The letter's push to this node is the last item, if
				// an earlier recipient opened it.
				if n := len(e.Items); n > 0 && sameFrame(e.Items[n-1].Push.Frame, l.frame) {
					e.Items[n-1].Push.Users = append(e.Items[n-1].Push.Users, user)
					continue
				}
				e.Items = append(e.Items, pubsub.Item{Push: &pubsub.Push{Users: []chat.UserID{user}, Frame: l.frame}})
			}
		}
		where, unknown = where[len(l.audience.Members):], unknown[len(l.audience.Members):]
	}
	for node, e := range nodes {
		if err := a.bus.Publish(ctx, node, e); err != nil {
			a.log.ErrorContext(ctx, "a gateway could not be reached; its devices will catch up", "node", node, "items", len(e.Items), "error", err)
		}
	}
	if len(missed) > 0 {
		a.notifier.Publish(missed)
	}
}

// offlineRecipients are a letter's recipients who are nowhere for certain, without the
// author of the message, who knows it.
func offlineRecipients(l outgoingFrame, where [][]string, unknown []bool) (absent []chat.UserID) {
	for i, user := range l.audience.Members {
		if len(where[i]) == 0 && !unknown[i] && user != l.notify.Sender {
			absent = append(absent, user)
		}
	}
	return absent
}

// sameFrame tells whether two frames are the same bytes in memory.
func sameFrame(x, y []byte) bool {
	return len(x) > 0 && len(x) == len(y) && &x[0] == &y[0]
}

func (a *Announcer) broadcast(ctx context.Context, e *pubsub.Envelope) {
	if err := a.bus.Broadcast(ctx, e); err != nil {
		a.log.ErrorContext(ctx, "the gateways could not be reached; their devices will catch up", "items", len(e.Items), "error", err)
	}
}

// audienceOf makes an audience of single people.
func audienceOf(id chat.ConversationID, users ...chat.UserID) chat.Audience {
	return chat.Audience{Conversation: id, Members: users}
}

// Stored announces what a batch of submissions came to: new messages to their
// audience; those that were stored before to their sender alone, who sent them
// again because the answer was lost.
func (a *Announcer) Stored(ctx context.Context, outcomes []chat.Outcome, redelivered func(i int) bool) {
	letters := make([]outgoingFrame, 0, len(outcomes))
	for i := range outcomes {
		o := &outcomes[i]
		if o.Verdict == 0 {
			continue
		}
		l := outgoingFrame{audience: o.Audience, frame: messageFrame(&o.Message)}
		// A batch that comes again may have been stored by a worker that
		// died before it announced it.
		if o.Verdict == chat.Duplicate && !redelivered(i) {
			l.audience = audienceOf(o.Message.Conversation, o.Message.Sender)
		} else if !o.Message.Deleted() {
			l.notify = &o.Message
		}
		letters = append(letters, l)
	}
	a.send(ctx, letters)
}

// messageFrame is the frame that shows a message in its present form.
func messageFrame(m *chat.Message) []byte {
	t := "message"
	switch {
	case m.Deleted():
		t = "deleted"
	case !m.EditedAt.IsZero():
		t = "edited"
	}
	return wire.AppendMessage(make([]byte, 0, 256+len(m.Body)), t, m)
}

// Failed tells an author that what was accepted could not be stored.
func (a *Announcer) Failed(ctx context.Context, s *chat.Submission, refusal *chat.Error) {
	a.send(ctx, []outgoingFrame{{
		audience: audienceOf(s.Conversation, s.Sender),
		frame:    wire.Encode(wire.Failed{T: "failed", ID: s.ClientID, Code: string(refusal.Code), Text: refusal.Text}),
	}})
}

// MessageEdited announces an edit.
func (a *Announcer) MessageEdited(ctx context.Context, e store.Edited) { a.edited(ctx, e) }

// MessageDeleted announces a delete.
func (a *Announcer) MessageDeleted(ctx context.Context, e store.Edited) { a.edited(ctx, e) }

func (a *Announcer) edited(ctx context.Context, e store.Edited) {
	if e.Changed {
		a.send(ctx, []outgoingFrame{{audience: e.Audience, frame: messageFrame(&e.Message)}})
	}
}

// ConversationChanged announces a change of name or membership. Gateways hear
// of a change of membership before anything else, so that nothing more of the
// conversation leaves to those who left.
func (a *Announcer) ConversationChanged(ctx context.Context, by chat.UserID, c store.Change) {
	if !c.Changed {
		return
	}
	id := c.Conversation.ID
	if len(c.Joined)+len(c.Left) > 0 {
		a.broadcast(ctx, &pubsub.Envelope{Items: []pubsub.Item{{Membership: &pubsub.Membership{
			Conversation: id, MembersRev: c.Conversation.MembersRev, Left: c.Left,
		}}}})
	}
	people := a.usersByID(ctx, slices.Concat(c.Joined, c.Left))
	frame := wire.ConversationFrame{T: "conversation", Conversation: wire.ConversationOf(c.Conversation), By: by}
	for _, user := range c.Joined {
		frame.Joined = append(frame.Joined, people(user))
	}
	for _, user := range c.Left {
		frame.Left = append(frame.Left, people(user))
	}
	letters := []outgoingFrame{{audience: c.Audience, frame: wire.Encode(frame)}}
	if len(c.Left) > 0 {
		letters = append(letters, outgoingFrame{audience: audienceOf(id, c.Left...), frame: wire.Encode(wire.Removed{T: "removed", Conversation: id})})
	}
	a.send(ctx, letters)
}

// usersByID looks users up; who is not found keeps at least the id.
func (a *Announcer) usersByID(ctx context.Context, ids []chat.UserID) func(chat.UserID) wire.User {
	found := map[chat.UserID]wire.User{}
	if len(ids) > 0 {
		users, err := a.directory.Users(ctx, ids)
		if err != nil {
			a.log.ErrorContext(ctx, "names could not be looked up for an announcement", "error", err)
		}
		for _, u := range users {
			found[u.ID] = wire.UserOf(u)
		}
	}
	return func(id chat.UserID) wire.User {
		if u, ok := found[id]; ok {
			return u
		}
		return wire.User{ID: id}
	}
}

// Marked announces a member's marks: to all devices of the member, and to the
// others in a small conversation.
func (a *Announcer) Marked(ctx context.Context, m chat.Membership) {
	audience, err := a.directory.Audience(ctx, m.Conversation)
	if err != nil {
		a.log.ErrorContext(ctx, "a mark could not be announced", "conversation", m.Conversation, "error", err)
		return
	}
	if audience.Large() {
		audience = audienceOf(m.Conversation, m.User)
	}
	a.send(ctx, []outgoingFrame{{audience: audience, frame: wire.Encode(wire.MarkFrame{
		T: "mark", Conversation: m.Conversation, User: m.User, Read: m.Read, Received: m.Received,
	})}})
}

// Typing tells the other members of a small conversation that user writes.
func (a *Announcer) Typing(ctx context.Context, audience chat.Audience, user chat.UserID) {
	if audience.Large() {
		return
	}
	others := make([]chat.UserID, 0, len(audience.Members))
	for _, member := range audience.Members {
		if member != user {
			others = append(others, member)
		}
	}
	a.send(ctx, []outgoingFrame{{audience: audienceOf(audience.Conversation, others...), frame: wire.Encode(wire.TypingFrame{
		T: "typing", Conversation: audience.Conversation, User: user,
	})}})
}

// SessionsEnded has the sockets of sessions closed.
func (a *Announcer) SessionsEnded(ctx context.Context, user chat.UserID, ids []chat.SessionID) {
	if len(ids) > 0 {
		a.broadcast(ctx, &pubsub.Envelope{Items: []pubsub.Item{{Revoked: &pubsub.Revoked{User: user, Sessions: ids}}}})
	}
}

// PresenceChanged tells the gateways how a person can be reached now.
func (a *Announcer) PresenceChanged(ctx context.Context, s presence.State) {
	a.broadcast(ctx, &pubsub.Envelope{Items: []pubsub.Item{{Presence: &pubsub.Presence{User: s.User, State: s.Presence, LastSeen: s.LastSeen}}}})
}
