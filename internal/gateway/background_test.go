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
	"github.com/hikyaku-chat/hikyaku/internal/pubsub"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Whatever the gateway has begun is over when it has stopped.
func TestStopWaitsForBackgroundWork(t *testing.T) {
	for name, begin := range map[string]func(g *Gateway){
		"members are looked up": func(g *Gateway) {
			g.members.deliver(&pubsub.Room{Conversation: conversation, MembersRev: 1, Frame: []byte("x")})
		},
		"a frame is handled": func(g *Gateway) {
			s := newSession(g, 1, 1)
			s.busy = false
			s.Message(nil, []byte(`{"t":"watch","users":["2"]}`))
		},
		"acquaintances are asked for after a removal": func(g *Gateway) {
			g.watches.set(newSession(g, 1, 1), []chat.UserID{2})
			g.watches.membersLeft([]chat.UserID{2})
		},
		"acquaintances are asked for after a gap": func(g *Gateway) {
			g.watches.set(newSession(g, 1, 1), []chat.UserID{2})
			g.watches.refreshAll()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				asked, let := 0, make(chan struct{})
				// A store that does not look at contexts.
				g := newTestGateway(t, &stubStore{
					members: func() ([]chat.UserID, int64, error) {
						asked++
						<-let
						return []chat.UserID{1}, 0, nil // older than what is asked for
					},
					shares: func([]chat.UserID) []chat.UserID {
						asked++
						<-let
						return nil
					},
				}, nil)
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
					t.Error("the stop has not waited")
				default:
				}
				close(let)
				<-stopped
				if asked != 1 {
					t.Errorf("the store was asked %d times", asked)
				}
			})
		})
	}
}

// A gateway that has stopped begins nothing, and keeps nobody waiting.
func TestNothingStartsAfterStop(t *testing.T) {
	g := newTestGateway(t, &stubStore{members: func() ([]chat.UserID, int64, error) {
		t.Error("members are looked up")
		return nil, 0, nil
	}}, nil)
	g.cancel()
	g.background.Wait()
	for range 2 {
		if _, err := g.members.load(t.Context(), conversation); !errors.Is(err, context.Canceled) {
			t.Errorf("members are given, %v", err)
		}
	}
	if g.background.Go(func() { t.Error("a goroutine is started") }) || g.background.Do(func() { t.Error("a call is made") }) {
		t.Error("something has begun")
	}
}

// The end of a grace and the stop come together, in every order: go test -race
// sees that the wait group is not misused, and nothing runs past the stop.
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
