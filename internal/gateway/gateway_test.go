package gateway

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/google/uuid"

	"github.com/hikyaku-chat/hikyaku/internal/batching"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/eventually"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/submission"
	"github.com/hikyaku-chat/hikyaku/internal/throttle"
	"github.com/hikyaku-chat/hikyaku/internal/websocket"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// These tests cover what cannot be caused from outside: backends that answer at
// a certain moment, or not at all. Everything else is tested with whole systems,
// in package acceptance.

// stubStore is a store whose answers the test provides.
type stubStore struct {
	Store
	members    func() ([]chat.UserID, int64, error)
	membersOf  func(ctx context.Context, id chat.ConversationID) ([]chat.UserID, int64, error) // if set, in place of members
	share      func(pairs []store.UserPair) ([]bool, error)
	lookups    atomic.Int64 // client ids that were looked up
	beforeFind func()       // called before a client id is looked up; may be nil
	hasChanged func([]store.Device) ([]bool, error)
}

func (a *stubStore) HasChanged(_ context.Context, devices []store.Device) ([]bool, error) {
	return a.hasChanged(devices)
}

func (a *stubStore) MemberIDs(ctx context.Context, id chat.ConversationID) ([]chat.UserID, int64, error) {
	if a.membersOf != nil {
		return a.membersOf(ctx, id)
	}
	return a.members()
}

func (a *stubStore) ShareConversation(_ context.Context, pairs []store.UserPair) ([]bool, error) {
	return a.share(pairs)
}

func (a *stubStore) FindByClientID(_ context.Context, keys []store.SendKey) (map[store.SendKey]chat.Earlier, error) {
	if a.beforeFind != nil {
		a.beforeFind()
	}
	a.lookups.Add(int64(len(keys)))
	return nil, nil
}

// RefuseNonMembers asks the same members as the cache.
func (a *stubStore) RefuseNonMembers(_ context.Context, batch []chat.Submission) ([]chat.Outcome, error) {
	out := make([]chat.Outcome, len(batch))
	for i := range batch {
		members, _, err := a.members()
		if err != nil {
			return nil, err
		}
		if !slices.Contains(members, batch[i].Sender) {
			out[i].Refusal = chat.NotFound("conversation")
		}
	}
	return out, nil
}

type publisherFunc func(s chat.Submission, confirm func(error))

func (p publisherFunc) Publish(s chat.Submission, confirm func(error)) error {
	p(s, confirm)
	return nil
}

func (publisherFunc) Refusing() error { return nil }

func newLimiter(t testing.TB, perSecond float64, burst int) *throttle.Limiter {
	t.Helper()
	l, err := throttle.NewLimiter(perSecond, burst)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func newTestGateway(t testing.TB, st *stubStore, publish publisherFunc) *Gateway {
	t.Helper()
	g := &Gateway{
		cfg: Config{}.WithDefaults(),
		deps: Dependencies{
			Store: st, Publisher: publish,
			SendLimiter: newLimiter(t, 100, 100), Refuser: submission.NewRefuser(st, slog.New(slog.DiscardHandler)), Idempotency: submission.NewIdempotencyCache(st, slog.New(slog.DiscardHandler)),
		},
		log: slog.New(slog.DiscardHandler), hub: newHub(),
	}
	g.ctx, g.cancel = context.WithCancel(t.Context())
	t.Cleanup(func() {
		g.cancel()
		g.background.Wait()
	})
	g.drainCtx, g.endDrain = context.WithCancel(g.ctx)
	g.members, g.departures, g.watches = newMemberCache(g), newDepartures(), newWatches(g)
	g.heartbeats, g.resyncs, g.marks = newHeartbeats(g), batching.NewSignal(), newMarks(g)
	var err error
	if g.costs, err = newCosts(g.cfg); err != nil {
		t.Fatal(err)
	}
	g.submissions = newSubmissions(g)
	g.background.Go(func() { g.deps.Idempotency.Run(g.ctx) })
	g.background.Go(func() { g.deps.Refuser.Run(g.ctx) })
	return g
}

// limitSends sets the rate limit of the sessions that are created from now on.
func (g *Gateway) limitSends(t testing.TB, perSecond float64, burst int) {
	g.deps.SendLimiter = newLimiter(t, perSecond, burst)
	g.submissions = newSubmissions(g)
}

// newTestSession returns a session with a real connection, whose client reads.
func newTestSession(t testing.TB, g *Gateway, user chat.UserID) *session {
	t.Helper()
	s, conn := connectTestSession(t, g, user)
	go func() { _, _ = io.Copy(io.Discard, conn) }()
	return s
}

// connectTestSession returns a session and the connection of its client.
func connectTestSession(t testing.TB, g *Gateway, user chat.UserID) (*session, net.Conn) {
	t.Helper()
	server, err := websocket.NewServer(websocket.Config{MaxMessage: 1 << 16, MaxQueued: 1 << 20, WriteTimeout: time.Minute, IdleTimeout: time.Minute, Subprotocol: "x"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close(context.Background()) })
	s := newSession(g, user, 1)
	ready := make(chan struct{})
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(ready)
		c, err := server.Upgrade(w, r, noopHandler{})
		if err != nil {
			t.Error(err)
		}
		s.conn = c
	}))
	t.Cleanup(web.Close)
	conn, _, _, err := ws.Dialer{Protocols: []string{"x"}}.Dial(t.Context(), "ws"+web.URL[len("http"):])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	<-ready
	return s, conn
}

type noopHandler struct{}

func (noopHandler) Frame(*websocket.Conn, int) bool { return true }
func (noopHandler) Message(*websocket.Conn, []byte) {}
func (noopHandler) Closed(*websocket.Conn, error)   {}

const conversation chat.ConversationID = 7

func newSend(body string) *wire.Send {
	return &wire.Send{ID: chat.ClientID(uuid.Must(uuid.NewV7())), Conversation: conversation, Body: body}
}

// While a send is refused and may be retried, the sends after it are refused
// too, however long each look-up takes to fail.
func TestSendsAfterARefusedSendWait(t *testing.T) {
	down := true
	st := &stubStore{members: func() ([]chat.UserID, int64, error) {
		if down {
			return nil, 0, errors.New("the database is down")
		}
		return []chat.UserID{1}, 1, nil
	}}
	var order []string
	g := newTestGateway(t, st, func(s chat.Submission, _ func(error)) { order = append(order, s.Body) })
	s := newTestSession(t, g, 1)
	first, second := newSend("first"), newSend("second")
	s.sendWithLookup(t.Context(), first, 1)
	s.sendWithLookup(t.Context(), first, 2)
	down = false
	s.sendWithLookup(t.Context(), second, 3)
	eventually.True(t, "the database is asked again", func() bool {
		s.sendWithLookup(t.Context(), first, 4)
		return len(order) > 0
	})
	s.sendWithLookup(t.Context(), second, 5)
	if !slices.Equal(order, []string{"first", "second"}) {
		t.Errorf("published in the order %v", order)
	}
}

// When the broker refuses a message during a look-up for the next one, the next
// one is refused too.
func TestRefusalDuringLookup(t *testing.T) {
	st := &stubStore{members: func() ([]chat.UserID, int64, error) { return []chat.UserID{1}, 1, nil }}
	var order []string
	var refuse func(error)
	g := newTestGateway(t, st, func(s chat.Submission, confirm func(error)) {
		order = append(order, s.Body)
		refuse = confirm
	})
	s := newTestSession(t, g, 1)
	first, second := newSend("first"), newSend("second")
	second.ID = chat.ClientID{15: 1} // an old id, which is looked up
	st.beforeFind = func() { refuse(errors.New("the connection is lost")) }
	s.sendWithLookup(t.Context(), first, 1)
	s.sendWithLookup(t.Context(), second, 2)
	s.sendWithLookup(t.Context(), first, 3)
	if !slices.Equal(order, []string{"first", "first"}) {
		t.Errorf("published in the order %v", order)
	}
}

// A send that does not fit into the backlog is refused, and so are later sends
// to the same conversation, until it is sent again.
func TestBacklogOverflowKeepsOrder(t *testing.T) {
	release := make(chan struct{})
	st := &stubStore{members: func() ([]chat.UserID, int64, error) {
		<-release
		return []chat.UserID{1}, 1, nil
	}}
	var mu sync.Mutex
	var order []string
	g := newTestGateway(t, st, func(s chat.Submission, _ func(error)) {
		mu.Lock()
		defer mu.Unlock()
		order = append(order, s.Body)
	})
	g.limitSends(t, 1e6, 1e6)
	s := newTestSession(t, g, 1)
	s.busy, s.started = false, true
	receive := func(f *wire.Send) {
		s.Message(s.conn, []byte(`{"t":"send","id":"`+f.ID.String()+`","conversation":"7","body":"`+f.Body+`"}`))
	}
	idle := func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return !s.busy
	}
	for range g.cfg.InFlight + spareBacklog + 2 {
		receive(newSend("early"))
	}
	overflowed, behind := newSend("overflowed"), newSend("behind")
	receive(overflowed)
	s.mu.Lock()
	s.backlog = s.backlog[:1] // some were handled
	s.mu.Unlock()
	receive(behind)
	close(release)
	for !idle() {
		time.Sleep(time.Millisecond)
	}
	receive(behind)
	for !idle() {
		time.Sleep(time.Millisecond)
	}
	mu.Lock()
	defer mu.Unlock()
	if slices.Contains(order, "behind") {
		t.Errorf("a send was published before an earlier one that was refused: %v", order)
	}
}

// A send that waits for a refused one passes once that is withdrawn, and not
// before. A withdrawal keeps its place among the frames of its connection.
func TestWithdraw(t *testing.T) {
	refused := true
	st := &stubStore{members: func() ([]chat.UserID, int64, error) { return []chat.UserID{1}, 1, nil }}
	var order []string
	g := newTestGateway(t, st, func(s chat.Submission, confirm func(error)) {
		order = append(order, s.Body)
		if refused {
			go confirm(errors.New("the connection is lost"))
		}
	})
	s := newTestSession(t, g, 1)
	first, second := newSend("first"), newSend("second")
	if _, err := g.members.load(t.Context(), conversation); err != nil {
		t.Fatal(err)
	}
	s.handleInline(inbound{first, 1, 0})
	eventually.True(t, "the first message is refused", func() bool { return s.mustWait(sendRef{second.ID, conversation, 2}) })
	refused = false
	s.handleInline(inbound{second, 2, 0})
	s.handleInline(inbound{&wire.Withdraw{ID: second.ID}, 3, 0})
	s.handleInline(inbound{second, 4, 0})
	if !slices.Equal(order, []string{"first"}) {
		t.Errorf("published in the order %v while the first message was refused", order)
	}
	s.handleInline(inbound{&wire.Withdraw{ID: first.ID}, 5, 0})
	s.handleInline(inbound{second, 6, 0})
	if !slices.Equal(order, []string{"first", "second"}) {
		t.Errorf("published in the order %v after the first message was withdrawn", order)
	}
}

// Nothing is published for a connection that ended during a look-up: its client
// sends what is not answered on another one, and may have given it up.
func TestNothingIsPublishedAfterTheEnd(t *testing.T) {
	st := &stubStore{members: func() ([]chat.UserID, int64, error) { return []chat.UserID{1}, 1, nil }}
	g := newTestGateway(t, st, func(s chat.Submission, _ func(error)) { t.Errorf("%q was published", s.Body) })
	s := newTestSession(t, g, 1)
	st.beforeFind = func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.closed = true
	}
	f := newSend("too late")
	f.ID = chat.ClientID{15: 1} // an old id, which is looked up
	s.sendWithLookup(t.Context(), f, 1)
	if st.lookups.Load() != 1 || s.inFlight.Load() != 0 {
		t.Errorf("%d look-ups, %d in flight", st.lookups.Load(), s.inFlight.Load())
	}
}

// Sends of a user who is not a member are rate-limited, and nothing is looked up
// for them.
func TestNoLookupForNonMembers(t *testing.T) {
	st := &stubStore{members: func() ([]chat.UserID, int64, error) { return []chat.UserID{2}, 1, nil }}
	g := newTestGateway(t, st, func(chat.Submission, func(error)) { t.Error("a message of a non-member was published") })
	g.limitSends(t, 0.001, 50)
	s := newTestSession(t, g, 1)
	if _, err := g.members.load(t.Context(), conversation); err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		f := newSend("hello")
		if i%2 == 0 {
			f.ID = chat.ClientID{15: byte(i), 14: byte(i >> 8)} // an old id, which would be looked up
		}
		if !s.sendInline(f, int64(i)) {
			s.sendWithLookup(t.Context(), f, int64(i))
		}
	}
	if n := st.lookups.Load(); n > 0 {
		t.Errorf("%d client ids were looked up", n)
	}
}

// Frames and invalidations arrive during a load, in every order; the race
// detector checks the locking.
func TestFramesDuringMemberLoad(t *testing.T) {
	st := &stubStore{members: func() ([]chat.UserID, int64, error) {
		time.Sleep(100 * time.Microsecond)
		return []chat.UserID{1, 2, 3}, 1 << 40, nil
	}}
	g := newTestGateway(t, st, nil)
	for i := range 1000 {
		g.members.invalidateAll()
		g.members.deliver(conversation, delivery{rev: int64(i), frame: []byte("x")})
		if i%50 == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	if _, err := g.members.load(t.Context(), conversation); err != nil {
		t.Fatal(err)
	}
}

// A list that was requested before announcements were lost is not used.
func TestMembersAreReloadedAfterAGap(t *testing.T) {
	var g *Gateway
	var calls atomic.Int64
	st := &stubStore{members: func() ([]chat.UserID, int64, error) {
		if calls.Add(1) == 1 {
			g.members.invalidateAll() // during the look-up
			return []chat.UserID{1, 2}, 1, nil
		}
		return []chat.UserID{1}, 1, nil
	}}
	g = newTestGateway(t, st, nil)
	m, err := g.members.load(t.Context(), conversation)
	if err != nil || m.has(2) {
		t.Errorf("a list from before the gap is used: %+v, %v", m, err)
	}
}

// A frame for a conversation that was removed meanwhile is dropped, and does not
// cause a resync.
func TestFramesOfARemovedConversation(t *testing.T) {
	st := &stubStore{members: func() ([]chat.UserID, int64, error) { return nil, 0, chat.NotFound("conversation") }}
	g := newTestGateway(t, st, nil)
	var logged strings.Builder
	g.log = slog.New(slog.NewTextHandler(&logged, nil))
	g.members.deliver(conversation, delivery{rev: 1, frame: []byte("x")})
	if _, err := g.members.load(t.Context(), conversation); chat.CodeOf(err) != chat.CodeNotFound || logged.Len() > 0 {
		t.Errorf("%v; logged %s", err, &logged)
	}
}
