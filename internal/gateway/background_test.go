package gateway

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Background work of every kind has ended when the gateway has stopped.
func TestStopWaitsForBackgroundWork(t *testing.T) {
	for name, begin := range map[string]func(g *Gateway){
		"members are looked up": func(g *Gateway) {
			g.members.deliver(conversation, delivery{rev: 1, frame: []byte("x")})
		},
		"a frame is handled": func(g *Gateway) {
			s := newSession(g, 1, 1)
			s.busy = false
			s.Message(nil, []byte(`{"t":"typing","conversation":"7"}`))
		},
		"watches are looked up": func(g *Gateway) {
			g.watches.replace(newSession(g, 1, 1), []chat.UserID{2})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls, release := 0, make(chan struct{})
				// A store that ignores contexts.
				g := newTestGateway(t, &stubStore{
					members: func() ([]chat.UserID, int64, error) {
						calls++
						<-release
						return []chat.UserID{1}, 0, nil // older than what is asked for
					},
					share: func(pairs []store.UserPair) ([]bool, error) {
						calls++
						<-release
						return make([]bool, len(pairs)), nil
					},
				}, nil)
				g.background.Go(g.watches.lookUpAll)
				begin(g)
				synctest.Wait()
				stopped := make(chan struct{})
				go func() {
					defer close(stopped)
					g.cancel()
					g.background.Wait()
				}()
				synctest.Wait()
				select {
				case <-stopped:
					t.Error("the stop did not wait")
				default:
				}
				close(release)
				<-stopped
				if calls != 1 {
					t.Errorf("the store was called %d times", calls)
				}
			})
		})
	}
}

// A gateway that has stopped starts nothing, and its calls return at once.
func TestNothingStartsAfterStop(t *testing.T) {
	g := newTestGateway(t, &stubStore{members: func() ([]chat.UserID, int64, error) {
		t.Error("members are looked up")
		return nil, 0, nil
	}}, nil)
	g.cancel()
	g.background.Wait()
	for range 2 {
		if _, err := g.members.load(t.Context(), conversation); !errors.Is(err, context.Canceled) {
			t.Errorf("got error %v, want context.Canceled", err)
		}
	}
	if g.background.Go(func() { t.Error("a goroutine is started") }) || g.background.Do(func() { t.Error("a call is made") }) {
		t.Error("work was started after the stop")
	}
}

// Work is started while Wait runs, in every order: the race detector checks that
// the wait group is used correctly, and nothing runs after Wait has returned.
func TestBackgroundWhileItStops(t *testing.T) {
	for range 200 {
		var b background
		var over atomic.Bool
		var late sync.WaitGroup
		for range 4 {
			late.Go(func() {
				for range 10 {
					b.Do(func() {
						if over.Load() {
							t.Error("something runs past the stop")
						}
					})
				}
			})
		}
		time.Sleep(time.Microsecond)
		b.Wait()
		over.Store(true)
		late.Wait()
	}
}
