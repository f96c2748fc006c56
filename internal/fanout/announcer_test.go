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
