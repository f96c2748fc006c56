package retryqueue_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/broker/retryqueue"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

type entry struct {
	conversation chat.ConversationID
	n            int
}

func newQueue(maxBatch int) *retryqueue.Queue[entry] {
	return retryqueue.New(retryqueue.Config[entry]{
		Conversation: func(e entry) chat.ConversationID { return e.conversation }, MaxBatch: maxBatch, Logger: slog.New(slog.DiscardHandler),
	})
}

// run runs a queue until stop is called.
func run(t *testing.T, q *retryqueue.Queue[entry], handle func(context.Context, []entry) ([]entry, error)) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); q.Run(ctx, handle) }()
	return func() { cancel(); <-done }
}

func numbered(conversations, each int) (entries []entry) {
	for n := range each {
		for c := range conversations {
			entries = append(entries, entry{chat.ConversationID(c + 1), n})
		}
	}
	return entries
}

// store records what is handled.
type store struct {
	mu   sync.Mutex
	seen map[chat.ConversationID][]int
}

func (s *store) add(e entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen == nil {
		s.seen = map[chat.ConversationID][]int{}
	}
	s.seen[e.conversation] = append(s.seen[e.conversation], e.n)
}

func (s *store) snapshot() map[chat.ConversationID][]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.seen)
}

// What is behind something that waits waits, too, and is handled after it; other
// conversations are admitted.
func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(2)
		q.Add([]entry{{1, 0}, {2, 0}, {1, 1}}, errors.New("it failed"))
		if got, want := q.Admit([]entry{{1, 2}, {3, 0}, {2, 1}, {3, 1}}), []entry{{3, 0}, {3, 1}}; !slices.Equal(got, want) {
			t.Errorf("admitted %v, want %v", got, want)
		}
		var s store
		tries := 0
		stop := run(t, q, func(_ context.Context, entries []entry) ([]entry, error) {
			if tries++; tries <= 3 {
				return entries, errors.New("it fails again")
			}
			if len(entries) > 2 {
				t.Errorf("%d entries in one try", len(entries))
			}
			for _, e := range entries {
				s.add(e)
			}
			return nil, nil
		})
		time.Sleep(time.Minute)
		stop()
		for c, want := range map[chat.ConversationID][]int{1: {0, 1, 2}, 2: {0, 1}} {
			if got := s.snapshot()[c]; !slices.Equal(got, want) {
				t.Errorf("conversation %d: %v, want %v", c, got, want)
			}
		}
		if got := q.Admit([]entry{{1, 3}}); len(got) != 1 {
			t.Error("a conversation of which nothing waits is not admitted")
		}
	})
}

// When a whole try fails because of one conversation, the others are handled
// soon, although nobody says which it is.
func TestOneConversationFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const conversations, bad = 500, 77
		q := newQueue(10_000)
		q.Add(numbered(conversations, 3), errors.New("it failed"))
		var s store
		stop := run(t, q, func(_ context.Context, entries []entry) ([]entry, error) {
			if slices.ContainsFunc(entries, func(e entry) bool { return e.conversation == bad }) {
				time.Sleep(100 * time.Millisecond)
				return entries, errors.New("it fails")
			}
			for _, e := range entries {
				s.add(e)
			}
			return nil, nil
		})
		time.Sleep(10 * time.Second)
		if n := len(s.snapshot()); n != conversations-1 {
			t.Errorf("%d conversations are handled, want all but one of %d", n, conversations)
		}
		stop()
		if left := q.Drain(); !slices.Equal(left, []entry{{bad, 0}, {bad, 1}, {bad, 2}}) {
			t.Errorf("%v is left", left)
		}
	})
}

// While everything fails there are few tries, and soon afterwards all is handled.
func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const conversations = 500
		q := newQueue(200)
		q.Add(numbered(conversations, 2), errors.New("it failed"))
		var s store
		end := time.Now().Add(10 * time.Minute)
		var tries atomic.Int64
		stop := run(t, q, func(_ context.Context, entries []entry) ([]entry, error) {
			tries.Add(1)
			if time.Now().Before(end) {
				return entries, errors.New("there is no server")
			}
			for _, e := range entries {
				s.add(e)
			}
			return nil, nil
		})
		time.Sleep(10*time.Minute - time.Second)
		if n := tries.Swap(0); n > 600/2+20 {
			t.Errorf("%d tries in ten minutes", n)
		}
		time.Sleep(4 * time.Second)
		stop()
		if n := len(s.snapshot()); n != conversations {
			t.Errorf("%d conversations of %d are handled", n, conversations)
		}
		if n := tries.Load(); n > 50 {
			t.Errorf("%d tries for them", n)
		}
	})
}

// Conversations that a handler leaves undecided wait each for itself.
func TestUndecidedConversations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(500)
		q.Add(numbered(100, 2), nil)
		var s store
		var tries atomic.Int64
		stop := run(t, q, func(_ context.Context, entries []entry) (failed []entry, err error) {
			tries.Add(1)
			for _, e := range entries {
				if e.conversation == 100 {
					s.add(e)
				} else {
					failed = append(failed, e)
				}
			}
			return failed, nil
		})
		defer stop()
		time.Sleep(time.Minute)
		began := time.Now()
		q.Add([]entry{{100, 2}}, nil)
		for len(s.snapshot()[100]) < 3 {
			time.Sleep(time.Millisecond)
		}
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("one that is free has waited for %v", took)
		}
		tries.Store(0)
		time.Sleep(time.Minute)
		if n := tries.Load(); n > 32 {
			t.Errorf("%d tries in a minute", n)
		}
	})
}

// The log tells when messages begin to wait, why, and when they do no more; it does
// not tell of each try.
func TestLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		q := retryqueue.New(retryqueue.Config[entry]{
			Conversation: func(e entry) chat.ConversationID { return e.conversation }, MaxBatch: 500, Logger: slog.New(slog.NewTextHandler(&log, nil)),
		})
		outage, hold := time.Now().Add(10*time.Minute), time.Now().Add(20*time.Minute)
		stop := run(t, q, func(_ context.Context, entries []entry) (failed []entry, err error) {
			if time.Now().Before(outage) {
				return entries, errors.New("publish 3 dead letters: the queue is full")
			}
			return slices.DeleteFunc(slices.Clone(entries), func(e entry) bool { return e.conversation > 2 || time.Now().After(hold) }), nil
		})
		for n := range 20 { // each brings a new conversation
			q.Add([]entry{{chat.ConversationID(n + 1), 0}}, errors.New("publish 3 dead letters: the queue is full"))
			time.Sleep(20 * time.Second)
		}
		time.Sleep(20 * time.Minute)
		stop()
		levels := map[string]int{}
		for line := range strings.Lines(log.String()) {
			_, rest, _ := strings.Cut(line, "level=")
			level, _, _ := strings.Cut(rest, " ")
			levels[level]++
		}
		if levels["ERROR"] < 1 || levels["ERROR"] > 10 || levels["WARN"] != 1 || levels["INFO"] != 2 || !strings.Contains(log.String(), "dead letters") {
			t.Errorf("the log is:\n%s", log.String())
		}
	})
}
