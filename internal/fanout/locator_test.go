package fanout_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/circuitbreaker"
	"github.com/hikyaku-chat/hikyaku/internal/fanout"
	"github.com/hikyaku-chat/hikyaku/internal/presence"
	"github.com/hikyaku-chat/hikyaku/internal/pubsub"
)

// recordingBus records the recipients of pushes by node.
type recordingBus struct{ to map[string][]chat.UserID }

func (b *recordingBus) Publish(_ context.Context, node string, e *pubsub.Envelope) error {
	for _, item := range e.Items {
		b.to[node] = append(b.to[node], item.Push.Users...)
	}
	return nil
}

func (b *recordingBus) Broadcast(ctx context.Context, e *pubsub.Envelope) error {
	return b.Publish(ctx, "*", e)
}

// partialPresence is a presence of two shards, for users with odd and even ids.
// Users below 10 are connected to the node named after their shard.
type partialPresence struct {
	evenDown, evenHangs, oddHangs bool
	calls                         int
}

func (p *partialPresence) NodesOf(ctx context.Context, users []chat.UserID) ([][]string, error) {
	p.calls++
	out, unknown := make([][]string, len(users)), make([]bool, len(users))
	missing, hangs := false, false
	for i, user := range users {
		switch {
		case user%2 == 0 && (p.evenDown || p.evenHangs), user%2 == 1 && p.oddHangs:
			unknown[i], missing, hangs = true, true, hangs || !p.evenDown
		case user < 10:
			out[i] = []string{[]string{"even", "odd"}[user%2]}
		}
	}
	if hangs {
		<-ctx.Done()
	}
	if missing {
		return out, &presence.PartialError{Unknown: unknown, Err: errors.New("a shard is down")}
	}
	return out, nil
}

// delivery is the result of announcing a message of user 1 to 2, 3, 12 and 13.
// The last two are offline.
type delivery struct {
	Odd, Even []chat.UserID // recipients on each node
	All       []chat.UserID // recipients for whom all nodes look
	Notified  []chat.UserID
	Took      time.Duration
	Calls     int
}

// deliver announces the message. It must run in a synctest bubble.
func deliver(t *testing.T, p *partialPresence, a *fanout.Announcer, b *recordingBus) delivery {
	t.Helper()
	b.to = map[string][]chat.UserID{}
	queue := &recordingQueue{}
	begin, calls := time.Now(), p.calls
	a.WithNotifications(queue).Stored(t.Context(), []chat.Outcome{{
		Verdict: chat.Stored, Message: message(1, "text"), Audience: chat.Audience{Conversation: 9, Members: []chat.UserID{1, 2, 3, 12, 13}},
	}}, func(int) bool { return false })
	out := delivery{Odd: b.to["odd"], Even: b.to["even"], All: b.to["*"], Took: time.Since(begin), Calls: p.calls - calls}
	for _, jobs := range queue.published {
		for _, job := range jobs {
			out.Notified = append(out.Notified, job.Users...)
		}
	}
	return out
}

// While presence answers partly or not at all, all nodes look for the users that
// were not found, users who may be connected are not notified, and no batch waits
// long.
func TestPresenceFailsOrHangs(t *testing.T) {
	const lookupTimeout, reducedTimeout = 250 * time.Millisecond, 25 * time.Millisecond
	odd, even := []chat.UserID{1, 3}, []chat.UserID{2}
	whole := delivery{Odd: odd, Even: even, Notified: []chat.UserID{12, 13}, Calls: 1}
	part := func(took time.Duration) delivery {
		return delivery{Odd: odd, All: []chat.UserID{2, 12}, Notified: []chat.UserID{13}, Took: took, Calls: 1}
	}
	everyone := []chat.UserID{1, 2, 3, 12, 13}
	type step struct {
		wait time.Duration
		want delivery
	}
	for name, c := range map[string]struct {
		fault  partialPresence
		during []step
		after  []step // after the fault
	}{
		"a shard is down": {
			partialPresence{evenDown: true},
			[]step{{0, part(0)}, {0, part(0)}},
			[]step{{0, whole}},
		},
		"a shard hangs": {
			partialPresence{evenHangs: true},
			[]step{{0, part(lookupTimeout)}, {0, part(reducedTimeout)}, {0, part(reducedTimeout)}, {circuitbreaker.Cooldown, part(lookupTimeout)}, {0, part(reducedTimeout)}},
			[]step{{0, whole}, {circuitbreaker.Cooldown, whole}},
		},
		"all hangs": {
			partialPresence{evenHangs: true, oddHangs: true},
			[]step{
				{0, delivery{All: everyone, Took: lookupTimeout, Calls: 1}},
				{0, delivery{All: everyone}},
				{circuitbreaker.Cooldown - 1, delivery{All: everyone}},
				{1, delivery{All: everyone, Took: lookupTimeout, Calls: 1}},
				{0, delivery{All: everyone}},
			},
			[]step{{0, delivery{All: everyone}}, {circuitbreaker.Cooldown, whole}, {0, whole}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &partialPresence{}
				b := &recordingBus{}
				a := fanout.NewAnnouncer(b, p, nil, slog.New(slog.DiscardHandler))
				check := func(when string, steps []step) {
					t.Helper()
					for i, s := range steps {
						time.Sleep(s.wait)
						if d := cmp.Diff(s.want, deliver(t, p, a, b)); d != "" {
							t.Errorf("%s, message %d (-want +got):\n%s", when, i, d)
						}
					}
				}
				check("before", []step{{0, whole}})
				*p = c.fault
				check("during", c.during)
				*p = partialPresence{}
				check("after", c.after)
			})
		})
	}
}

// A call that its caller cancels is not counted as a failure of presence.
func TestCanceledCallIsNotAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &partialPresence{evenHangs: true, oddHangs: true}
		b := &recordingBus{to: map[string][]chat.UserID{}}
		a := fanout.NewAnnouncer(b, p, nil, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		a.Typing(ctx, chat.Audience{Conversation: 9, Members: []chat.UserID{1, 2, 3}}, 1)
		*p = partialPresence{}
		if got := deliver(t, p, a, b); got.Calls != 1 {
			t.Errorf("presence was not asked: %+v", got)
		}
	})
}
