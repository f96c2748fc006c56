package fanout_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/fanout"
	"github.com/hikyaku-chat/hikyaku/internal/notifyqueue"
	"github.com/hikyaku-chat/hikyaku/internal/presence"
	"github.com/hikyaku-chat/hikyaku/internal/presence/localpresence"
	"github.com/hikyaku-chat/hikyaku/internal/pubsub"
	"github.com/hikyaku-chat/hikyaku/internal/pubsub/localpubsub"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// recordingQueue records the jobs that are published.
type recordingQueue struct{ published [][]notifyqueue.Job }

func (q *recordingQueue) Publish(jobs []notifyqueue.Job) { q.published = append(q.published, jobs) }

// countingPresence counts the look-ups of presence.
type countingPresence struct {
	presence.Presence
	calls int
	err   error
}

func (c *countingPresence) NodesOf(ctx context.Context, users []chat.UserID) ([][]string, error) {
	if c.calls++; c.err != nil {
		return nil, c.err
	}
	return c.Presence.NodesOf(ctx, users)
}

func message(seq int64, body string) chat.Message {
	return chat.Message{ID: chat.MessageID(100 + seq), Conversation: 9, Seq: seq, Sender: 1, Body: body, At: time.UnixMilli(seq).UTC()}
}

// A duplicate of somebody who has left is announced to nobody.
func TestDuplicateAfterLeaving(t *testing.T) {
	p := &countingPresence{Presence: localpresence.New(nil)}
	bus, err := localpubsub.New(localpubsub.Config{})
	if err != nil {
		t.Fatal(err)
	}
	a := fanout.NewAnnouncer(bus, p, nil, slog.New(slog.DiscardHandler))
	once := func(int) bool { return false }
	a.Stored(t.Context(), []chat.Outcome{{
		Verdict: chat.Duplicate, Message: message(1, "mine"), Audience: chat.Audience{Conversation: 9, Members: []chat.UserID{2, 3}},
	}}, once)
	if p.calls > 0 {
		t.Error("somebody was looked for")
	}
	a.Stored(t.Context(), []chat.Outcome{{
		Verdict: chat.Duplicate, Message: message(1, "mine"), Audience: chat.Audience{Conversation: 9, Members: []chat.UserID{1, 2}},
	}}, once)
	if p.calls != 1 {
		t.Error("a member who sent it again was not looked for")
	}
}

func TestOfflineRecipientsAreNotified(t *testing.T) {
	p := &countingPresence{Presence: localpresence.New(nil)}
	if _, _, err := p.Attach(t.Context(), presence.Device{User: 2, Node: "node", ID: 1}); err != nil {
		t.Fatal(err)
	}
	queue := &recordingQueue{}
	bus, err := localpubsub.New(localpubsub.Config{})
	if err != nil {
		t.Fatal(err)
	}
	withoutQueue := fanout.NewAnnouncer(bus, p, nil, slog.New(slog.DiscardHandler))
	a := withoutQueue.WithNotifications(queue)
	small := chat.Audience{Conversation: 9, Members: []chat.UserID{1, 2, 3, 4}}
	deleted := message(7, "")
	deleted.DeletedAt = time.Now()
	outcomes := []chat.Outcome{
		{Verdict: chat.Stored, Message: message(1, "first"), Audience: small},
		{Refusal: chat.NotFound("conversation")},
		{Verdict: chat.Duplicate, Message: message(2, "duplicate"), Audience: small},
		{Verdict: chat.Duplicate, Message: message(3, "redelivered duplicate"), Audience: small},
		{Verdict: chat.Stored, Message: message(4, "large"), Audience: chat.Audience{Conversation: 9}},
		{Verdict: chat.Stored, Message: message(5, "nobody is offline"), Audience: chat.Audience{Conversation: 9, Members: []chat.UserID{1, 2}}},
		{Verdict: chat.Duplicate, Message: deleted, Audience: small},
		{Verdict: chat.Stored, Message: message(8, "last"), Audience: chat.Audience{Conversation: 9, Members: []chat.UserID{4, 1}}},
	}
	redelivered := func(i int) bool { return i == 3 || i == 6 }
	a.Stored(t.Context(), outcomes, redelivered)
	job := func(o int, users ...chat.UserID) notifyqueue.Job {
		return notifyqueue.NewJob(&outcomes[o].Message, users)
	}
	want := [][]notifyqueue.Job{{job(0, 3, 4), job(3, 3, 4), job(7, 4)}}
	if d := cmp.Diff(want, queue.published); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if p.calls != 1 {
		t.Errorf("presence was asked %d times", p.calls)
	}

	// Only new messages notify.
	queue.published = nil
	a.MessageEdited(t.Context(), store.Edited{Message: message(1, "edited"), Audience: small, Changed: true})
	a.Typing(t.Context(), small, 2)
	a.Failed(t.Context(), &chat.Submission{Sender: 3, Conversation: 9}, chat.NotFound("conversation"))
	withoutQueue.Stored(t.Context(), outcomes, redelivered)
	p.err = errors.New("unavailable")
	a.Stored(t.Context(), outcomes, redelivered)
	if len(queue.published) > 0 {
		t.Errorf("%+v", queue.published)
	}
}

// pushBus records the pushes that are published.
type pushBus struct {
	fanout.Bus
	pushes []pubsub.Push
}

func (b *pushBus) Publish(_ context.Context, _ string, e *pubsub.Envelope) error {
	for i := range e.Items {
		b.pushes = append(b.pushes, *e.Items[i].Push)
	}
	return nil
}

func (b *pushBus) Broadcast(context.Context, *pubsub.Envelope) error { return nil }

type fixedDirectory chat.Audience

func (d fixedDirectory) Audience(context.Context, chat.ConversationID) (chat.Audience, error) {
	return chat.Audience(d), nil
}

func (fixedDirectory) Users(context.Context, []chat.UserID) ([]chat.User, error) { return nil, nil }

// Everything that only members may see says which membership it is for. The answer
// to an author and the news that somebody was removed reach them in any case.
func TestPushesSayTheirAudience(t *testing.T) {
	p := localpresence.New(nil)
	for user := range chat.UserID(4) {
		if _, _, err := p.Attach(t.Context(), presence.Device{User: user, Node: "node", ID: int64(user)}); err != nil {
			t.Fatal(err)
		}
	}
	small, large := chat.Audience{Conversation: 9, MembersRev: 5, Members: []chat.UserID{1, 2}}, chat.Audience{Conversation: 9, MembersRev: 6}
	once := func(int) bool { return false }
	mark := chat.Membership{Conversation: 9, User: 1}
	type want struct {
		conversation chat.ConversationID
		rev          int64
		users        []chat.UserID
	}
	members := want{9, 5, []chat.UserID{1, 2}}
	for name, c := range map[string]struct {
		audience chat.Audience // as the directory has it
		announce func(a *fanout.Announcer)
		want     []want
	}{
		"a message": {announce: func(a *fanout.Announcer) {
			a.Stored(t.Context(), []chat.Outcome{{Verdict: chat.Stored, Message: message(1, "x"), Audience: small}}, once)
		}, want: []want{members}},
		"a duplicate": {announce: func(a *fanout.Announcer) {
			a.Stored(t.Context(), []chat.Outcome{{Verdict: chat.Duplicate, Message: message(1, "x"), Audience: small}}, once)
		}, want: []want{{9, 5, []chat.UserID{1}}}},
		"an edit": {announce: func(a *fanout.Announcer) {
			a.MessageEdited(t.Context(), store.Edited{Message: message(1, "x"), Audience: small, Changed: true})
		}, want: []want{members}},
		"a mark":                {audience: small, announce: func(a *fanout.Announcer) { a.Marked(t.Context(), mark) }, want: []want{members}},
		"a mark in a large one": {audience: large, announce: func(a *fanout.Announcer) { a.Marked(t.Context(), mark) }, want: []want{{9, 6, []chat.UserID{1}}}},
		"typing":                {announce: func(a *fanout.Announcer) { a.Typing(t.Context(), small, 1) }, want: []want{{9, 5, []chat.UserID{2}}}},
		"a failure": {announce: func(a *fanout.Announcer) {
			a.Failed(t.Context(), &chat.Submission{Sender: 3, Conversation: 9}, chat.NotFound("conversation"))
		}, want: []want{{0, 0, []chat.UserID{3}}}},
		"a removal": {announce: func(a *fanout.Announcer) {
			a.ConversationChanged(t.Context(), 1, store.Change{
				Conversation: chat.Conversation{ID: 9, MembersRev: 5}, Audience: small, Changed: true, Left: []chat.UserID{3},
			})
		}, want: []want{members, {0, 0, []chat.UserID{3}}}},
	} {
		bus := &pushBus{}
		c.announce(fanout.NewAnnouncer(bus, p, fixedDirectory(c.audience), slog.New(slog.DiscardHandler)))
		var got []want
		for _, p := range bus.pushes {
			got = append(got, want{p.Conversation, p.MembersRev, p.Users})
		}
		if d := cmp.Diff(c.want, got, cmp.AllowUnexported(want{})); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}
