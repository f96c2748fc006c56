package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws/wsutil"

	"github.com/hikyaku-chat/hikyaku/internal/broker"
	"github.com/hikyaku-chat/hikyaku/internal/broker/embedded"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/eventually"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// usePublisher has what sessions send published on p from now on.
func (g *Gateway) usePublisher(p broker.Publisher) {
	g.deps.Publisher = p
	g.submissions = newSubmissions(g)
}

// fullPublisher refuses while it has a reason.
type fullPublisher struct {
	publisherFunc
	refusal error
}

func (p *fullPublisher) Refusing() error { return p.refusal }

// receive has a session handle a send frame, as it comes from the client.
func (s *session) receive(f *wire.Send) {
	f.T = "send"
	s.Message(s.conn, wire.Encode(f))
}

// answer is what a client is told about a send.
type answer struct {
	T            string        `json:"t"`
	ID           chat.ClientID `json:"id"`
	Code         chat.Code     `json:"code"`
	RetryAfterMS int64         `json:"retry_after_ms"`
	WaitsFor     chat.ClientID `json:"waits_for"`
}

func readAnswer(t *testing.T, conn net.Conn) (a answer) {
	t.Helper()
	text, err := wsutil.ReadServerText(conn)
	if err != nil {
		t.Error(err)
		return answer{}
	}
	if err := json.Unmarshal(text, &a); err != nil {
		t.Errorf("%s: %v", text, err)
	}
	return a
}

// What the broker would refuse costs nothing: it is not looked at, takes no token of
// the rate limit, and nothing is looked up for it. It keeps its place all the same.
func TestOverloadIsRefusedFirst(t *testing.T) {
	full := &fullPublisher{refusal: chat.Refuse(chat.CodeOverloaded, "", "full")}
	var published []string
	full.publisherFunc = func(s chat.Submission, confirm func(error)) {
		published = append(published, s.Body)
		confirm(nil)
	}
	st := &stubStore{members: func() ([]chat.UserID, int64, error) {
		if full.refusal != nil {
			t.Error("a membership was looked up")
		}
		return []chat.UserID{1}, 1, nil
	}}
	g := newTestGateway(t, st, nil)
	g.usePublisher(full)
	g.limitSends(t, 0.001, 2)
	s, conn := connectTestSession(t, g, 1)
	s.busy = false
	first, second := newSend("first"), newSend("second")
	for range 3 {
		s.receive(first)
		if a := readAnswer(t, conn); a.T != "rejected" || a.ID != first.ID || a.Code != chat.CodeOverloaded || a.RetryAfterMS <= 0 {
			t.Errorf("under overload the answer is %+v", a)
		}
	}
	if s.sender != nil {
		t.Error("a refused send was prepared")
	}
	full.refusal = nil
	if _, err := g.members.load(t.Context(), conversation); err != nil {
		t.Fatal(err)
	}
	s.receive(second)
	if a := readAnswer(t, conn); a.Code != codeOrder || a.WaitsFor != first.ID {
		t.Errorf("behind a refused send the answer is %+v", a)
	}
	for _, f := range []*wire.Send{first, second} {
		s.receive(f)
		if a := readAnswer(t, conn); a.T != "accepted" || a.ID != f.ID {
			t.Errorf("after overload the answer is %+v", a)
		}
	}
	if !slices.Equal(published, []string{"first", "second"}) {
		t.Errorf("published in the order %v", published)
	}
	full.refusal = chat.Refuse(chat.CodeOverloaded, "", "full")
	api := g.submissions.Submit(t.Context(), (*sendSource)(s), s.requestOf(newSend("by the API"), 9))
	if chat.CodeOf(api) != chat.CodeOverloaded {
		t.Errorf("the API is told %v", api)
	}
}

// Several clients send far more than a slow store takes, and send again what was
// refused: in the end each message is stored once, in its sender's order, and none
// before its sender was told so.
func TestFloodIsStoredOnceInOrder(t *testing.T) {
	const senders, each = 3, 100
	queue, err := embedded.New(embedded.Config{MaxQueued: 20, MaxBatch: 5, MaxWait: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	st := &stubStore{members: func() ([]chat.UserID, int64, error) { return []chat.UserID{1, 2, 3}, 1, nil }}
	g := newTestGateway(t, st, nil)
	g.usePublisher(queue)
	g.limitSends(t, 1e6, 1e6)
	if _, err := g.members.load(t.Context(), conversation); err != nil {
		t.Fatal(err)
	}
	refused := make(chan struct{}) // closed at the first refusal
	var once sync.Once
	var mu sync.Mutex
	stored := map[chat.UserID][]chat.ClientID{}
	ctx, stop := context.WithCancel(t.Context())
	consumed := make(chan error, 1)
	go func() {
		consumed <- queue.Consume(ctx, func(_ context.Context, batch []broker.Delivery) ([]*chat.Error, error) {
			<-refused
			mu.Lock()
			defer mu.Unlock()
			for _, d := range batch {
				stored[d.Sender] = append(stored[d.Sender], d.ClientID)
			}
			return make([]*chat.Error, len(batch)), nil
		})
	}()
	var clients sync.WaitGroup
	sent := map[chat.UserID][]chat.ClientID{}
	for user := chat.UserID(1); user <= senders; user++ {
		s, conn := connectTestSession(t, g, user)
		s.busy = false
		var left []*wire.Send
		for n := range each {
			f := newSend(fmt.Sprint(n))
			left, sent[user] = append(left, f), append(sent[user], f.ID)
		}
		clients.Go(func() {
			for len(left) > 0 && !t.Failed() {
				for _, f := range left {
					s.receive(f)
				}
				accepted := map[chat.ClientID]bool{}
				for range left {
					switch a := readAnswer(t, conn); a.T {
					case "accepted":
						accepted[a.ID] = true
					case "rejected":
						if a.RetryAfterMS <= 0 || a.Code != chat.CodeOverloaded && a.Code != codeOrder {
							t.Errorf("refused with %+v", a)
						}
						once.Do(func() { close(refused) })
					default:
						t.Errorf("the answer is %+v", a)
					}
				}
				mu.Lock()
				for id := range accepted {
					if !slices.Contains(stored[s.user], id) {
						t.Errorf("%v was accepted and is not stored", id)
					}
				}
				mu.Unlock()
				left = slices.DeleteFunc(left, func(f *wire.Send) bool { return accepted[f.ID] })
			}
		})
	}
	clients.Wait()
	stop()
	if err := eventually.Receive(t, "the consumer stops", consumed); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	for user, ids := range sent {
		if !slices.Equal(stored[user], ids) {
			t.Errorf("user %d: stored in another order than sent, or not once each", user)
		}
	}
	if queue.Queued() != 0 || queue.Refusing() != nil {
		t.Errorf("%d are left; refusing: %v", queue.Queued(), queue.Refusing())
	}
}
