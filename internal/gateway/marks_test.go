package gateway

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// markStore is a store of marks that fails as the test wants.
type markStore struct {
	Store
	fail func(ctx context.Context, id chat.ConversationID) error

	mu     sync.Mutex
	calls  int
	stored map[chat.ConversationID]markValue
}

func (s *markStore) Mark(ctx context.Context, id chat.ConversationID, by chat.UserID, read, received int64) (chat.Membership, bool, error) {
	s.mu.Lock()
	s.calls++
	fail := s.fail
	s.mu.Unlock()
	if fail != nil {
		if err := fail(ctx, id); err != nil {
			return chat.Membership{}, false, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stored[id] = markValue{read, received}
	return chat.Membership{Conversation: id, User: by}, true, nil
}

func (s *markStore) failBy(fail func(ctx context.Context, id chat.ConversationID) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = fail
}

// taken returns what was stored, and how often the store was called, since it was
// called last.
func (s *markStore) taken() (map[chat.ConversationID]markValue, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all, calls := s.stored, s.calls
	s.stored, s.calls = map[chat.ConversationID]markValue{}, 0
	return all, calls
}

type markAnnouncer struct {
	Announcer
	mu     sync.Mutex
	marked int
}

func (a *markAnnouncer) Marked(context.Context, chat.Membership) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.marked++
}

// newTestMarks returns marks that are stored in st, what announces them, and what is
// logged.
func newTestMarks(t *testing.T, st *markStore) (*marks, *markAnnouncer, *strings.Builder) {
	t.Helper()
	st.stored = map[chat.ConversationID]markValue{}
	announced, logged := &markAnnouncer{}, &strings.Builder{}
	g := &Gateway{deps: Dependencies{Store: st, Announcer: announced}, log: slog.New(slog.NewTextHandler(io.Writer(logged), nil))}
	g.ctx, g.cancel = context.WithCancel(t.Context())
	m := newMarks(g)
	g.background.Go(m.run)
	g.background.Go(m.retry)
	t.Cleanup(func() {
		g.cancel()
		g.background.Wait()
	})
	return m, announced, logged
}

// Marks that arrive while the store hangs, or fails, are stored once it answers, the
// highest of each conversation. Until then it is called rarely, and the log says it
// once.
func TestMarksOutliveTheStore(t *testing.T) {
	for name, fail := range map[string]func(ctx context.Context, _ chat.ConversationID) error{
		"it hangs":   func(ctx context.Context, _ chat.ConversationID) error { <-ctx.Done(); return ctx.Err() },
		"it fails":   func(context.Context, chat.ConversationID) error { return errors.New("connection refused") },
		"it says so": func(context.Context, chat.ConversationID) error { return chat.Refuse(chat.CodeUnavailable, "", "busy") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := &markStore{fail: fail}
				m, announced, logged := newTestMarks(t, st)
				const conversations = 1000
				for i := range int64(conversations) {
					m.add(1, &wire.Mark{Conversation: chat.ConversationID(i), Read: 3, Received: 5})
				}
				time.Sleep(time.Minute)
				for i := range int64(10) {
					m.add(1, &wire.Mark{Conversation: chat.ConversationID(i), Read: 4, Received: 4})
				}
				time.Sleep(time.Minute)
				stored, calls := st.taken()
				if len(stored) > 0 {
					t.Fatalf("%d were stored", len(stored))
				}
				if calls < 20 || calls > 70*markConcurrency {
					t.Errorf("the store was called %d times in two minutes", calls)
				}
				st.failBy(nil)
				time.Sleep(callTimeout + markRetryDelay)
				synctest.Wait()
				stored, _ = st.taken()
				want := map[chat.ConversationID]markValue{}
				for i := range int64(conversations) {
					want[chat.ConversationID(i)] = markValue{3, 5}
					if i < 10 {
						want[chat.ConversationID(i)] = markValue{4, 5}
					}
				}
				if !maps.Equal(stored, want) {
					t.Errorf("stored %d marks, and not the highest of %d conversations", len(stored), conversations)
				}
				if announced.marked != conversations {
					t.Errorf("%d were announced", announced.marked)
				}
				if lines := strings.Count(logged.String(), "\n"); lines != 2 {
					t.Errorf("%d lines in the log, not one each of the begin and the end:\n%s", lines, logged)
				}
				time.Sleep(time.Minute)
				if _, calls := st.taken(); calls != 0 {
					t.Errorf("the store was called %d times for what it has", calls)
				}
			})
		})
	}
}

// A mark that the store cannot take holds up the others for no longer than one call,
// and what the store refuses is not tried again.
func TestOneMarkFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const held, refused chat.ConversationID = 7, 8
		st := &markStore{fail: func(ctx context.Context, id chat.ConversationID) error {
			switch id {
			case held:
				<-ctx.Done()
				return ctx.Err()
			case refused:
				return chat.NotFound("conversation")
			}
			return nil
		}}
		m, _, _ := newTestMarks(t, st)
		for i := range int64(1000) {
			m.add(1, &wire.Mark{Conversation: chat.ConversationID(i), Read: 1})
		}
		time.Sleep(callTimeout + markRetryDelay)
		synctest.Wait()
		if stored, _ := st.taken(); len(stored) != 998 {
			t.Errorf("%d of 998 were stored", len(stored))
		}
		time.Sleep(time.Second)
		m.add(1, &wire.Mark{Conversation: 1, Read: 2}) // while the held one is tried again
		synctest.Wait()
		if stored, calls := st.taken(); len(stored) != 1 || calls != 1 {
			t.Errorf("the next one: stored %d, with %d calls", len(stored), calls)
		}
		st.failBy(nil)
		time.Sleep(callTimeout + markRetryDelay)
		synctest.Wait()
		if stored, calls := st.taken(); calls != 1 || stored[held] != (markValue{1, 0}) {
			t.Errorf("when it is free: stored %v with %d calls", stored, calls)
		}
	})
}

// A gateway that stops does not wait for marks.
func TestMarksEndWithTheGateway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := &markStore{fail: func(ctx context.Context, _ chat.ConversationID) error { <-ctx.Done(); return ctx.Err() }}
		m, _, logged := newTestMarks(t, st)
		m.add(1, &wire.Mark{Conversation: 1, Read: 1})
		synctest.Wait()
		began := time.Now()
		m.g.cancel()
		m.g.background.Wait()
		if took := time.Since(began); took > 0 || logged.Len() > 0 {
			t.Errorf("it took %v, and logged %q", took, logged)
		}
	})
}

// However many marks wait, they are bounded, and the latest is among them.
func TestPendingMarksAreBounded(t *testing.T) {
	s := newMarkSet()
	for i := range int64(maxPendingMarks + 1000) {
		s.add(markKey{user: 1, conversation: chat.ConversationID(i)}, markValue{read: 1})
	}
	s.add(markKey{user: 2, conversation: 1}, markValue{read: 1})
	s.add(markKey{user: 2, conversation: 1}, markValue{received: 2})
	all := s.take()
	if got := all[markKey{user: 2, conversation: 1}]; len(all) != maxPendingMarks || got != (markValue{1, 2}) {
		t.Errorf("%d marks wait, the latest is %v", len(all), got)
	}
	if !s.isEmpty() {
		t.Error("what was taken is still there")
	}
}
