package gateway

import (
	"context"
	"errors"
	"log/slog"
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
	"golang.org/x/time/rate"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/pubsub"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/websocket"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// What cannot be brought about from outside at will: answers that come at a
// certain moment, or not at all. Everything else is tested with whole systems,
// in package acceptance.

// answers is a store whose answers the test decides.
type answers struct {
	Store
	members    func() ([]chat.UserID, int64, error)
	acquainted func(of []chat.UserID) []chat.UserID
	sent       atomic.Int64 // names that were looked up
	looking    func()       // called before a name is looked up; may be nil
}

func (a *answers) MemberIDs(context.Context, chat.ConversationID) ([]chat.UserID, int64, error) {
	return a.members()
}

func (a *answers) SharesConversation(_ context.Context, _ chat.UserID, of []chat.UserID) ([]chat.UserID, error) {
	return a.acquainted(of), nil
}

func (a *answers) FindByClientID(_ context.Context, keys []store.SendKey) (map[store.SendKey]*chat.Message, error) {
	if a.looking != nil {
		a.looking()
	}
	a.sent.Add(int64(len(keys)))
	return nil, nil
}

type published func(s chat.Submission, confirm func(error))

func (p published) Publish(s chat.Submission, confirm func(error)) error {
	p(s, confirm)
	return nil
}

func gatewayOf(t *testing.T, st *answers, publish published) *Gateway {
	t.Helper()
	g := &Gateway{
		cfg: Config{}.WithDefaults(), parts: Parts{Store: st, Messages: st, Publisher: publish},
		log: slog.New(slog.DiscardHandler), hub: newHub(),
	}
	g.ctx, g.cancel = context.WithCancel(t.Context())
	t.Cleanup(func() {
		g.cancel()
		g.background.Wait()
	})
	g.lingering, g.hurry = context.WithCancel(g.ctx)
	g.rooms, g.watches, g.claims = newRooms(g), newWatches(g), newClaims(g)
	g.background.Go(g.claims.run)
	return g
}

// sessionOf is a session with a real socket.
func sessionOf(t *testing.T, g *Gateway, user chat.UserID) *session {
	t.Helper()
	server, err := websocket.NewServer(websocket.Config{MaxMessage: 1 << 16, MaxQueued: 1 << 20, WriteTimeout: time.Second, IdleTimeout: time.Minute, Subprotocol: "x"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close(context.Background()) })
	s := newSession(g, user, 1)
	s.sends = rate.NewLimiter(100, 100)
	ready := make(chan struct{})
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(ready)
		c, err := server.Upgrade(w, r, quiet{})
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
	return s
}

type quiet struct{}

func (quiet) Message(*websocket.Conn, []byte) {}
func (quiet) Closed(*websocket.Conn, error)   {}

const conversation chat.ConversationID = 7

func sendOf(body string) *wire.Send {
	return &wire.Send{ID: chat.ClientID(uuid.Must(uuid.NewV7())), Conversation: conversation, Body: body}
}

// A send that is refused for now again and again holds back what was sent
// behind it, however long each look-up takes to fail.
func TestWhatFollowsARefusedSendWaitsForIt(t *testing.T) {
	away := true
	st := &answers{members: func() ([]chat.UserID, int64, error) {
		if away {
			return nil, 0, errors.New("the database is away")
		}
		return []chat.UserID{1}, 1, nil
	}}
	var order []string
	g := gatewayOf(t, st, func(s chat.Submission, _ func(error)) { order = append(order, s.Body) })
	s := sessionOf(t, g, 1)
	first, second := sendOf("first"), sendOf("second")
	s.sendAfterLoad(t.Context(), first, 1)
	s.sendAfterLoad(t.Context(), first, 2)
	away = false
	s.sendAfterLoad(t.Context(), second, 3)
	s.sendAfterLoad(t.Context(), first, 4)
	s.sendAfterLoad(t.Context(), second, 5)
	if !slices.Equal(order, []string{"first", "second"}) {
		t.Errorf("published in the order %v", order)
	}
}

// A message that the broker refuses while something is looked up for the next
// one holds that one back as well.
func TestARefusalDuringALookUpIsSeen(t *testing.T) {
	st := &answers{members: func() ([]chat.UserID, int64, error) { return []chat.UserID{1}, 1, nil }}
	var order []string
	var refuse func(error)
	g := gatewayOf(t, st, func(s chat.Submission, confirm func(error)) {
		order = append(order, s.Body)
		refuse = confirm
	})
	s := sessionOf(t, g, 1)
	first, second := sendOf("first"), sendOf("second")
	second.ID = chat.ClientID{15: 1} // not fresh: it is looked up
	st.looking = func() { refuse(errors.New("the connection is lost")) }
	s.sendAfterLoad(t.Context(), first, 1)
	s.sendAfterLoad(t.Context(), second, 2)
	s.sendAfterLoad(t.Context(), first, 3)
	if !slices.Equal(order, []string{"first", "first"}) {
		t.Errorf("published in the order %v", order)
	}
}

// What finds no room in the backlog is refused, and so is what was sent behind
// it to the same conversation, until it comes again.
func TestBacklogThatOverflowsKeepsTheOrder(t *testing.T) {
	let := make(chan struct{})
	st := &answers{members: func() ([]chat.UserID, int64, error) {
		<-let
		return []chat.UserID{1}, 1, nil
	}}
	var mu sync.Mutex
	var order []string
	g := gatewayOf(t, st, func(s chat.Submission, _ func(error)) {
		mu.Lock()
		defer mu.Unlock()
		order = append(order, s.Body)
	})
	s := sessionOf(t, g, 1)
	s.sends = rate.NewLimiter(1e6, 1e6)
	s.busy = false
	say := func(f *wire.Send) {
		s.Message(s.conn, []byte(`{"t":"send","id":"`+f.ID.String()+`","conversation":"7","body":"`+f.Body+`"}`))
	}
	idle := func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return !s.busy
	}
	for range g.cfg.InFlight + spareBacklog + 2 {
		say(sendOf("early"))
	}
	spilled, behind := sendOf("spilled"), sendOf("behind")
	say(spilled)
	s.mu.Lock()
	s.backlog = s.backlog[:1] // some were handled
	s.mu.Unlock()
	say(behind)
	close(let)
	for !idle() {
		time.Sleep(time.Millisecond)
	}
	say(behind)
	for !idle() {
		time.Sleep(time.Millisecond)
	}
	mu.Lock()
	defer mu.Unlock()
	if slices.Contains(order, "behind") {
		t.Errorf("what came behind a send that was refused was published before it: %v", order)
	}
}

// A stranger's sends cost turns, and leave nothing behind.
func TestRefusedSendsLeaveNothing(t *testing.T) {
	st := &answers{members: func() ([]chat.UserID, int64, error) { return []chat.UserID{2}, 1, nil }}
	g := gatewayOf(t, st, func(chat.Submission, func(error)) { t.Error("a stranger's message was published") })
	s := sessionOf(t, g, 1)
	s.sends = rate.NewLimiter(0.001, 50)
	if _, err := g.rooms.load(t.Context(), conversation); err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		f := sendOf("hello")
		if i%2 == 0 {
			f.ID = chat.ClientID{15: byte(i), 14: byte(i >> 8)} // not fresh: it would be looked up
		}
		if !s.sendQuickly(f, int64(i)) {
			s.sendAfterLoad(t.Context(), f, int64(i))
		}
	}
	if n := len(g.claims.now); n > 0 {
		t.Errorf("%d names are remembered", n)
	}
	if n := st.sent.Load(); n > 0 {
		t.Errorf("%d names were looked up", n)
	}
}

// News of members arrives while they are asked for, in every order; go test
// -race sees that nothing is written past the lock.
func TestFramesWhileMembersAreAskedFor(t *testing.T) {
	st := &answers{members: func() ([]chat.UserID, int64, error) {
		time.Sleep(100 * time.Microsecond)
		return []chat.UserID{1, 2, 3}, 1 << 40, nil
	}}
	g := gatewayOf(t, st, nil)
	for i := range 1000 {
		g.rooms.forgetAll()
		g.rooms.deliver(&pubsub.Room{Conversation: conversation, MembersRev: int64(i), Frame: []byte("x")})
		if i%50 == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	if _, err := g.rooms.load(t.Context(), conversation); err != nil {
		t.Fatal(err)
	}
}

// Members that were asked for before news may have been lost are not believed.
func TestMembersAreAskedForAgainAfterAGap(t *testing.T) {
	var g *Gateway
	var calls atomic.Int64
	st := &answers{members: func() ([]chat.UserID, int64, error) {
		if calls.Add(1) == 1 {
			g.rooms.forgetAll() // while the answer is on its way
			return []chat.UserID{1, 2}, 1, nil
		}
		return []chat.UserID{1}, 1, nil
	}}
	g = gatewayOf(t, st, nil)
	m, err := g.rooms.load(t.Context(), conversation)
	if err != nil || m.has(2) {
		t.Errorf("a membership from before the gap is believed: %+v, %v", m, err)
	}
}

// A frame for a conversation that was removed meanwhile is for nobody, and no
// reason to have everybody catch up.
func TestFramesOfARemovedConversation(t *testing.T) {
	st := &answers{members: func() ([]chat.UserID, int64, error) { return nil, 0, chat.NotFound("conversation") }}
	g := gatewayOf(t, st, nil)
	var logged strings.Builder
	g.log = slog.New(slog.NewTextHandler(&logged, nil))
	g.rooms.deliver(&pubsub.Room{Conversation: conversation, MembersRev: 1, Frame: []byte("x")})
	if _, err := g.rooms.load(t.Context(), conversation); chat.CodeOf(err) != chat.CodeNotFound || logged.Len() > 0 {
		t.Errorf("%v; logged %s", err, &logged)
	}
}

// Nobody watches whom they are no longer acquainted with, also when the removal
// overtakes the look-up, or its news is lost (G7).
func TestWatchesAfterARemoval(t *testing.T) {
	for name, news := range map[string]func(g *Gateway){
		"told":                        func(g *Gateway) { g.watches.left([]chat.UserID{2}) },
		"told of the one who watches": func(g *Gateway) { g.watches.left([]chat.UserID{1}) },
		"lost":                        func(g *Gateway) { g.watches.forgetAll() },
	} {
		t.Run(name, func(t *testing.T) {
			var removed atomic.Bool
			var g *Gateway
			overtake := true
			st := &answers{acquainted: func(of []chat.UserID) []chat.UserID {
				if overtake { // the answer is made, and the removal comes before it
					overtake = false
					removed.Store(true)
					news(g)
					return of
				}
				if removed.Load() {
					return nil
				}
				return of
			}}
			g = gatewayOf(t, st, nil)
			s := newSession(g, 1, 1)
			if watched, err := g.watches.watch(t.Context(), s, []chat.UserID{2}); err != nil || len(watched) > 0 {
				t.Errorf("the session watches %v (%v)", watched, err)
			}
			g.watches.mu.Lock()
			defer g.watches.mu.Unlock()
			if len(g.watches.watchers) > 0 || len(g.watches.asking) > 0 {
				t.Errorf("watched: %v; asked for: %v", g.watches.watchers, g.watches.asking)
			}
		})
	}
}
