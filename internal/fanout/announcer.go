// Package fanout encodes changes as frames and sends them to the gateways that
// their recipients are connected to. Workers, the API and gateways announce
// changes through it, always after the change is committed.
//
// Frames of small conversations are sent by recipient: presence says which nodes
// a user is connected to, and each node gets one envelope per batch; users of whom
// presence knows nothing now are looked for by all nodes. Frames of
// large conversations are sent once to each gateway, which delivers them to its
// own connections. Devices detect and repair lost frames (G4), so announcing
// returns no errors; it logs them.
//
// Recipients of a new message who are connected nowhere are passed to the
// notification queue, if there is one. Recipients whose location is unknown are
// not, because they may be connected; nor are members of large conversations,
// who are not located.
package fanout

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/notifyqueue"
	"github.com/hikyaku-chat/hikyaku/internal/presence"
	"github.com/hikyaku-chat/hikyaku/internal/pubsub"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// Bus is what fanout needs of the bus; see pubsub.Bus.
type Bus interface {
	Publish(ctx context.Context, node string, e *pubsub.Envelope) error
	Broadcast(ctx context.Context, e *pubsub.Envelope) error
}

// Locator finds the nodes that users' devices are connected to; see
// presence.Presence.
type Locator interface {
	NodesOf(ctx context.Context, users []chat.UserID) ([][]string, error)
}

// Directory looks up users and the audience of a conversation.
type Directory interface {
	Users(ctx context.Context, ids []chat.UserID) ([]chat.User, error)
	Audience(ctx context.Context, id chat.ConversationID) (chat.Audience, error)
}

// NotificationQueue takes messages whose recipients are offline; see package
// notifyqueue. Publish must not block.
type NotificationQueue interface {
	Publish(jobs []notifyqueue.Job)
}

// Announcer announces changes. It is safe for concurrent use; announcements of
// one goroutine about one conversation keep their order.
type Announcer struct {
	bus       Bus
	locator   *locator
	directory Directory
	notifier  NotificationQueue // nil without notifications
	log       *slog.Logger
}

// NewAnnouncer returns an announcer without notifications.
func NewAnnouncer(b Bus, l Locator, d Directory, log *slog.Logger) *Announcer {
	return &Announcer{bus: b, locator: newLocator(l, log), directory: d, log: log}
}

// WithNotifications returns a copy of the announcer that notifies offline
// recipients through n.
func (a *Announcer) WithNotifications(n NotificationQueue) *Announcer {
	with := *a
	with.notifier = n
	return &with
}

// outgoingFrame is a frame and its recipients.
type outgoingFrame struct {
	audience chat.Audience // with Members: sent by recipient; otherwise to all gateways
	frame    []byte
	notify   *chat.Message // message that offline recipients are notified of; nil for none
}

// send delivers frames in their order.
func (a *Announcer) send(ctx context.Context, frames []outgoingFrame) {
	var users []chat.UserID // recipients of all frames, concatenated
	var rooms pubsub.Envelope
	for _, f := range frames {
		if f.audience.Large() {
			rooms.Items = append(rooms.Items, pubsub.Item{Room: &pubsub.Room{
				Conversation: f.audience.Conversation, MembersRev: f.audience.MembersRev, Frame: f.frame,
			}})
			continue
		}
		users = append(users, f.audience.Members...)
	}
	if len(users) > 0 {
		a.sendByRecipient(ctx, frames, users)
	}
	if len(rooms.Items) > 0 {
		a.broadcast(ctx, &rooms)
	}
}

func (a *Announcer) sendByRecipient(ctx context.Context, frames []outgoingFrame, users []chat.UserID) {
	nodesOf, unknown := a.locator.locate(ctx, users)
	envelopes := map[string]*pubsub.Envelope{} // by node
	var everywhere pubsub.Envelope             // for those of whom it is not known where they are
	var jobs []notifyqueue.Job
	for _, f := range frames {
		if f.audience.Large() {
			continue
		}
		if a.notifier != nil && f.notify != nil {
			if offline := offlineRecipients(f, nodesOf, unknown); len(offline) > 0 {
				jobs = append(jobs, notifyqueue.NewJob(f.notify, offline))
			}
		}
		for i, user := range f.audience.Members {
			if unknown[i] {
				addPush(&everywhere, user, &f)
				continue
			}
			for _, node := range nodesOf[i] {
				e := envelopes[node]
				if e == nil {
					e = &pubsub.Envelope{}
					envelopes[node] = e
				}
				addPush(e, user, &f)
			}
		}
		nodesOf, unknown = nodesOf[len(f.audience.Members):], unknown[len(f.audience.Members):]
	}
	for node, e := range envelopes {
		if err := a.bus.Publish(ctx, node, e); err != nil {
			a.log.ErrorContext(ctx, "a gateway could not be reached; its devices will catch up", "node", node, "items", len(e.Items), "error", err)
		}
	}
	if len(everywhere.Items) > 0 {
		a.broadcast(ctx, &everywhere)
	}
	if len(jobs) > 0 {
		a.notifier.Publish(jobs)
	}
}

// addPush adds a frame for a user.
func addPush(e *pubsub.Envelope, user chat.UserID, f *outgoingFrame) {
	// The push of this frame is the last item, if an earlier recipient added it.
	if n := len(e.Items); n > 0 && sameFrame(e.Items[n-1].Push.Frame, f.frame) {
		e.Items[n-1].Push.Users = append(e.Items[n-1].Push.Users, user)
		return
	}
	e.Items = append(e.Items, pubsub.Item{Push: &pubsub.Push{
		Users: []chat.UserID{user}, Conversation: f.audience.Conversation, MembersRev: f.audience.MembersRev, Frame: f.frame,
	}})
}

// offlineRecipients returns the recipients of a frame who are known to be
// connected nowhere, without the author of the message.
func offlineRecipients(f outgoingFrame, nodesOf [][]string, unknown []bool) (offline []chat.UserID) {
	for i, user := range f.audience.Members {
		if len(nodesOf[i]) == 0 && !unknown[i] && user != f.notify.Sender {
			offline = append(offline, user)
		}
	}
	return offline
}

// sameFrame reports whether two frames are the same bytes in memory.
func sameFrame(x, y []byte) bool {
	return len(x) > 0 && len(x) == len(y) && &x[0] == &y[0]
}

func (a *Announcer) broadcast(ctx context.Context, e *pubsub.Envelope) {
	if err := a.bus.Broadcast(ctx, e); err != nil {
		a.log.ErrorContext(ctx, "the gateways could not be reached; their devices will catch up", "items", len(e.Items), "error", err)
	}
}

// only returns the part of an audience that single users are. They get the frame
// as members of the conversation.
func only(a chat.Audience, users ...chat.UserID) chat.Audience {
	a.Members = users
	return a
}

// whoever returns an audience of users who get the frame whether they are members
// of its conversation or not.
func whoever(users ...chat.UserID) chat.Audience { return chat.Audience{Members: users} }

// Stored announces the outcomes of a batch of submissions: new messages to their
// audience; duplicates to their sender alone, who sent them again because the
// answer was lost. redelivered reports whether the broker delivered the i-th
// submission before.
func (a *Announcer) Stored(ctx context.Context, outcomes []chat.Outcome, redelivered func(i int) bool) {
	frames := make([]outgoingFrame, 0, len(outcomes))
	for i := range outcomes {
		o := &outcomes[i]
		if o.Verdict == 0 {
			continue
		}
		f := outgoingFrame{audience: o.Audience, frame: messageFrame(&o.Message)}
		// A redelivered batch may have been stored by a worker that died
		// before it announced it.
		if o.Verdict == chat.Duplicate && !redelivered(i) {
			if !o.Audience.Large() && !slices.Contains(o.Audience.Members, o.Message.Sender) {
				continue // nothing of a conversation reaches those who have left it
			}
			f.audience = only(o.Audience, o.Message.Sender)
		} else if !o.Message.Deleted() {
			f.notify = &o.Message
		}
		frames = append(frames, f)
	}
	a.send(ctx, frames)
}

// messageFrame encodes the current state of a message.
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

// Failed tells the author that an accepted message could not be stored.
// The store keeps the failure: an author who is not reached finds it with the next
// sync.
func (a *Announcer) Failed(ctx context.Context, s *chat.Submission, refusal *chat.Error) {
	a.send(ctx, []outgoingFrame{{
		audience: whoever(s.Sender),
		frame:    wire.Encode(wire.Failed{T: "failed", Failure: wire.FailureOf(chat.NewFailure(s, refusal, time.Now()))}),
	}})
}

// MessageEdited announces an edit.
func (a *Announcer) MessageEdited(ctx context.Context, e store.Edited) { a.edited(ctx, e) }

// MessageDeleted announces a deletion.
func (a *Announcer) MessageDeleted(ctx context.Context, e store.Edited) { a.edited(ctx, e) }

func (a *Announcer) edited(ctx context.Context, e store.Edited) {
	if e.Changed {
		a.send(ctx, []outgoingFrame{{audience: e.Audience, frame: messageFrame(&e.Message)}})
	}
}

// ConversationChanged announces a change of name, role or membership. Gateways receive
// a change of membership first, so that those who left get nothing more of the
// conversation.
func (a *Announcer) ConversationChanged(ctx context.Context, by chat.UserID, c store.Change) {
	if !c.Changed {
		return
	}
	id := c.Conversation.ID
	if len(c.Joined)+len(c.Left) > 0 || c.MembersRevBefore > 0 {
		a.broadcast(ctx, &pubsub.Envelope{Items: []pubsub.Item{{Membership: membershipOf(c)}}})
	}
	userOf := a.usersByID(ctx, slices.Concat(c.Joined, c.Left))
	frame := wire.ConversationFrame{T: "conversation", Conversation: wire.ConversationOf(c.Conversation), By: by}
	for _, user := range c.Joined {
		frame.Joined = append(frame.Joined, userOf(user))
	}
	for _, user := range c.Left {
		frame.Left = append(frame.Left, userOf(user))
	}
	frames := []outgoingFrame{{audience: c.Audience, frame: wire.Encode(frame)}}
	if len(c.Left) > 0 {
		frames = append(frames, outgoingFrame{audience: whoever(c.Left...), frame: wire.Encode(wire.Removed{T: "removed", Conversation: id, Rev: c.Conversation.Rev})})
	}
	a.send(ctx, frames)
}

// maxJoined is how many users a change of membership says have joined: more are not
// worth sending to every gateway, which look the members up when they need them.
const maxJoined = 1000

// membershipOf returns what gateways get of a change of members or roles.
func membershipOf(c store.Change) *pubsub.Membership {
	m := &pubsub.Membership{Conversation: c.Conversation.ID, MembersRev: c.Conversation.MembersRev, Left: c.Left}
	if c.MembersRevBefore > 0 && len(c.Joined) <= maxJoined {
		m.MembersRevBefore, m.Joined = c.MembersRevBefore, c.Joined
	}
	return m
}

// usersByID looks users up. The function that it returns gives the user with an
// id; of a user that was not found it has the id alone.
func (a *Announcer) usersByID(ctx context.Context, ids []chat.UserID) func(chat.UserID) wire.User {
	found := map[chat.UserID]wire.User{}
	if len(ids) > 0 {
		users, err := a.directory.Users(ctx, ids)
		if err != nil {
			a.log.ErrorContext(ctx, "users could not be looked up for an announcement", "error", err)
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
		audience = only(audience, m.User)
	}
	a.send(ctx, []outgoingFrame{{audience: audience, frame: wire.Encode(wire.MarkFrame{
		T: "mark", Conversation: m.Conversation, User: m.User, Read: m.Read, Received: m.Received,
	})}})
}

// Typing tells the other members of a small conversation that user is writing.
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
	a.send(ctx, []outgoingFrame{{audience: only(audience, others...), frame: wire.Encode(wire.TypingFrame{
		T: "typing", Conversation: audience.Conversation, User: user,
	})}})
}

// SessionsEnded asks the gateways to close the connections of sessions.
func (a *Announcer) SessionsEnded(ctx context.Context, user chat.UserID, ids []chat.SessionID) {
	if len(ids) > 0 {
		a.broadcast(ctx, &pubsub.Envelope{Items: []pubsub.Item{{Revoked: &pubsub.Revoked{User: user, Sessions: ids}}}})
	}
}

// PresenceChanged tells the gateways the new presence of a user.
func (a *Announcer) PresenceChanged(ctx context.Context, s presence.State) {
	a.broadcast(ctx, &pubsub.Envelope{Items: []pubsub.Item{{Presence: &pubsub.Presence{User: s.User, State: s.Presence, LastSeen: s.LastSeen}}}})
}
