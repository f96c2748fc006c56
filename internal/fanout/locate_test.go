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

// envelopes is a bus that keeps to whom what went.
type envelopes struct{ to map[string][]chat.UserID }

func (b *envelopes) Publish(_ context.Context, node string, e *pubsub.Envelope) error {
	for _, item := range e.Items {
		b.to[node] = append(b.to[node], item.Push.Users...)
	}
	return nil
}

func (b *envelopes) Broadcast(context.Context, *pubsub.Envelope) error { return nil }

// parts is a presence of two parts, for users of odd and of even number; those
// below 10 are on the node of that name.
type parts struct {
	evenAway, evenHangs, oddHangs bool
	asked                         int
}

func (p *parts) NodesOf(ctx context.Context, users []chat.UserID) ([][]string, error) {
	p.asked++
	out, unknown := make([][]string, len(users)), make([]bool, len(users))
	missing, hangs := false, false
	for i, user := range users {
		switch {
		case user%2 == 0 && (p.evenAway || p.evenHangs), user%2 == 1 && p.oddHangs:
			unknown[i], missing, hangs = true, true, hangs || !p.evenAway
		case user < 10:
			out[i] = []string{[]string{"even", "odd"}[user%2]}
		}
	}
	if hangs {
		<-ctx.Done()
	}
	if missing {
		return out, &presence.PartialError{Unknown: unknown, Err: errors.New("a part is away")}
	}
	return out, nil
}

// announced is what came of a message of 1 to 2, 3, 12 and 13, of whom the last
// two are nowhere.
type announced struct {
	Odd, Even []chat.UserID // to whom it went on the nodes
	Notified  []chat.UserID
	Took      time.Duration
	Asked     int
}

// announce announces it; the clock is that of a bubble.
func announce(t *testing.T, p *parts, a *fanout.Announcer, b *envelopes) announced {
	t.Helper()
	b.to = map[string][]chat.UserID{}
	j := &journal{}
	begin, asked := time.Now(), p.asked
	a.WithNotifications(j).Stored(t.Context(), []chat.Outcome{{
		Verdict: chat.Stored, Message: message(1, "text"), Audience: chat.Audience{Conversation: 9, Members: []chat.UserID{1, 2, 3, 12, 13}},
	}}, func(int) bool { return false })
	out := announced{Odd: b.to["odd"], Even: b.to["even"], Took: time.Since(begin), Asked: p.asked - asked}
	for _, jobs := range j.published {
		for _, job := range jobs {
			out.Notified = append(out.Notified, job.Users...)
		}
	}
	return out
}

// While presence answers in part or not at all, who is found gets the message,
// nobody is notified who may be here, and no batch waits for long.
func TestPresenceIsAwayOrHangs(t *testing.T) {
	const patience, haste = 250 * time.Millisecond, 25 * time.Millisecond
	odd, even := []chat.UserID{1, 3}, []chat.UserID{2}
	whole := announced{Odd: odd, Even: even, Notified: []chat.UserID{12, 13}, Asked: 1}
	part := func(took time.Duration) announced {
		return announced{Odd: odd, Notified: []chat.UserID{13}, Took: took, Asked: 1}
	}
	type step struct {
		wait time.Duration
		want announced
	}
	for name, c := range map[string]struct {
		trouble parts
		during  []step
		after   []step // when all is well again
	}{
		"a part is away": {
			parts{evenAway: true},
			[]step{{0, part(0)}, {0, part(0)}},
			[]step{{0, whole}},
		},
		"a part hangs": {
			parts{evenHangs: true},
			[]step{{0, part(patience)}, {0, part(haste)}, {0, part(haste)}, {circuitbreaker.Cooldown, part(patience)}, {0, part(haste)}},
			[]step{{0, whole}, {circuitbreaker.Cooldown, whole}},
		},
		"all hangs": {
			parts{evenHangs: true, oddHangs: true},
			[]step{{0, announced{Took: patience, Asked: 1}}, {0, announced{}}, {circuitbreaker.Cooldown - 1, announced{}}, {1, announced{Took: patience, Asked: 1}}, {0, announced{}}},
			[]step{{0, announced{}}, {circuitbreaker.Cooldown, whole}, {0, whole}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &parts{}
				b := &envelopes{}
				a := fanout.NewAnnouncer(b, p, nil, slog.New(slog.DiscardHandler))
				check := func(when string, steps []step) {
					t.Helper()
					for i, s := range steps {
						time.Sleep(s.wait)
						if d := cmp.Diff(s.want, announce(t, p, a, b)); d != "" {
							t.Errorf("%s, message %d (-want +got):\n%s", when, i, d)
						}
					}
				}
				check("before", []step{{0, whole}})
				*p = c.trouble
				check("during", c.during)
				*p = parts{}
				check("after", c.after)
			})
		})
	}
}

// Whoever hangs up says nothing of presence.
func TestHangingUpIsNoOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &parts{evenHangs: true, oddHangs: true}
		b := &envelopes{to: map[string][]chat.UserID{}}
		a := fanout.NewAnnouncer(b, p, nil, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		a.Typing(ctx, chat.Audience{Conversation: 9, Members: []chat.UserID{1, 2, 3}}, 1)
		*p = parts{}
		if got := announce(t, p, a, b); got.Asked != 1 {
			t.Errorf("presence was left alone: %+v", got)
		}
	})
}
