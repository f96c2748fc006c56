package gateway

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"pgregory.net/rapid"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/eventually"
	"github.com/hikyaku-chat/hikyaku/internal/presence/localpresence"
	"github.com/hikyaku-chat/hikyaku/internal/websocket"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// serveSessions returns the address of a server whose connections are sessions of g,
// and the sessions in the order of their connections.
func serveSessions(t *testing.T, g *Gateway) (address string, sessions <-chan *session) {
	t.Helper()
	server, err := websocket.NewServer(websocket.Config{
		MaxMessage: g.cfg.MaxFrame, MaxQueued: g.cfg.MaxQueued, WriteTimeout: time.Minute, IdleTimeout: time.Minute, Subprotocol: "x",
	})
	if err != nil {
		t.Fatal(err)
	}
	g.cfg.AwayGrace = time.Hour // devices are not of interest
	opened := make(chan *session, 100)
	var users chat.UserID
	var mu sync.Mutex
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		users++
		s := newSession(g, users, chat.SessionID(users))
		mu.Unlock()
		c, err := server.Upgrade(w, r, s)
		if err != nil {
			t.Error(err)
			return
		}
		s.conn = c
		s.mu.Lock()
		s.started = true
		s.mu.Unlock()
		s.runBacklog()
		opened <- s
	}))
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = server.Close(ctx)
		web.Close()
	})
	return "ws" + strings.TrimPrefix(web.URL, "http"), opened
}

// masked returns a frame as a client sends it.
func masked(op ws.OpCode, fin bool, payload string) []byte {
	var b bytes.Buffer
	_ = ws.WriteFrame(&b, ws.MaskFrameInPlace(ws.NewFrame(op, fin, []byte(payload))))
	return b.Bytes()
}

func text(payload string) []byte { return masked(ws.OpText, true, payload) }

// dial opens a connection whose client reads nothing yet.
func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, _, _, err := ws.Dialer{Protocols: []string{"x"}}.Dial(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// flood writes p until the connection ends.
func flood(conn net.Conn, p []byte) {
	p = bytes.Repeat(p, max(1, 32<<10/len(p)))
	for {
		if _, err := conn.Write(p); err != nil {
			return
		}
	}
}

// Whoever sends more and more of any frame is refused, and then cut off with a code
// that says so. Meanwhile others talk, and afterwards nothing is left of it.
func TestFloodIsCutOff(t *testing.T) {
	ids := make([]string, 500)
	for i := range ids {
		ids[i] = fmt.Sprintf("%q", fmt.Sprint(i+1))
	}
	sendID := newSend("x").ID.String()
	tests := map[string]struct {
		frame   []byte
		first   string // before the first frame
		refused bool   // it is answered when it is too much
	}{
		"malformed":       {text(`{"t":`), "", true},
		"no object":       {text(`[]`), "", true},
		"unknown type":    {text(`{"t":"later"}`), "", true},
		"ping":            {text(`{"t":"ping","cursor":"x"}`), "", false},
		"typing":          {text(`{"t":"typing","conversation":"7"}`), "", true},
		"watch":           {text(`{"t":"watch","users":[` + strings.Join(ids, ",") + `]}`), "", true},
		"watch too many":  {text(`{"t":"watch","users":[` + strings.Join(append(ids, ids...), ",") + `]}`), "", true},
		"mark":            {text(`{"t":"mark","conversation":"7","read":1}`), "", true},
		"sync":            {text(`{"t":"sync","id":"a","conversation":"7"}`), "", true},
		"status":          {text(`{"t":"status","away":true}`), "", true},
		"withdraw":        {text(`{"t":"withdraw","id":"` + sendID + `"}`), "", true},
		"send":            {text(`{"t":"send","id":"` + sendID + `","conversation":"7","body":"x"}`), "", true},
		"large":           {text(`{"t":"later","x":"` + strings.Repeat("x", 100<<10) + `"}`), "", true},
		"WebSocket ping":  {masked(ws.OpPing, true, "x"), "", false},
		"WebSocket pong":  {masked(ws.OpPong, true, ""), "", false},
		"empty fragments": {masked(ws.OpContinuation, false, ""), string(masked(ws.OpText, false, "")), false},
	}
	st := &feedStore{messages: 1}
	st.members = func() ([]chat.UserID, int64, error) { return nil, 1, nil }
	g := newTestGateway(t, &st.stubStore, func(_ chat.Submission, confirm func(error)) { confirm(nil) })
	g.deps.Store = floodedStore{st}
	g.cfg.MaxQueued = 1 << 28 // no client reads too slowly
	g.deps.Presence, g.deps.Announcer = localpresence.New(nil), noopAnnouncer{}
	address, sessions := serveSessions(t, g)
	friend := dial(t, address)
	friendly := <-sessions
	flooded := map[string]*session{}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			conn := dial(t, address)
			s := <-sessions
			go func() {
				_, _ = io.WriteString(conn, tt.first)
				flood(conn, tt.frame)
			}()
			refused, code, r := false, 0, bufio.NewReader(conn)
			for code == 0 {
				header, err := ws.ReadHeader(r)
				if err != nil {
					t.Fatalf("the connection ends without a close frame: %v", err)
				}
				payload := make([]byte, header.Length)
				if _, err := io.ReadFull(r, payload); err != nil {
					t.Fatal(err)
				}
				if header.OpCode == ws.OpClose {
					got, _ := ws.ParseCloseFrameData(payload)
					code = int(got)
				}
				var answer struct {
					Code         chat.Code `json:"code"`
					RetryAfterMS int64     `json:"retry_after_ms"`
				}
				if header.OpCode == ws.OpText && json.Unmarshal(payload, &answer) == nil && answer.Code == chat.CodeRateLimited && answer.RetryAfterMS > 0 {
					refused = true
				}
			}
			if code != wire.CloseFlooded {
				t.Errorf("closed with %d", code)
			}
			if refused != tt.refused {
				t.Errorf("refused before: %v, want %v", refused, tt.refused)
			}
			if err := wsutil.WriteClientText(friend, []byte(`{"t":"withdraw","id":"`+sendID+`"}`)); err != nil {
				t.Fatal(err)
			}
			if answer, err := wsutil.ReadServerText(friend); err != nil || !strings.Contains(string(answer), "withdrawn") {
				t.Errorf("another client hears %s (%v)", answer, err)
			}
			friendly.push(wire.Resync{T: "resync"})
			if pushed, err := wsutil.ReadServerText(friend); err != nil || !strings.Contains(string(pushed), "resync") {
				t.Errorf("another client hears %s (%v)", pushed, err)
			}
			flooded[name] = s
		})
	}
	// Their clients go on. What they send is not read, and their connections end.
	for name, s := range flooded {
		eventually.True(t, "the end of the session", func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.closed
		})
		if inherited, _ := g.costs.connect(s.user, s.id); inherited < s.budget {
			t.Errorf("after %s its session owes %v less", name, s.budget-inherited)
		}
	}
	if _, wait := g.costs.connect(friendly.user, friendly.id); wait != 0 {
		t.Errorf("another session waits for %v", wait)
	}
}

// floodedStore answers what floods ask for.
type floodedStore struct{ *feedStore }

func (floodedStore) Mark(context.Context, chat.ConversationID, chat.UserID, int64, int64) (chat.Membership, bool, error) {
	return chat.Membership{}, false, nil
}

// A million sends to conversations that do not exist leave nothing behind but what
// has a bound, and after the connection nothing at all.
func TestSendsToFreshConversationsAreBounded(t *testing.T) {
	const attackers, each = 8, 125_000
	st := &stubStore{members: func() ([]chat.UserID, int64, error) { return nil, 0, chat.NotFound("conversation") }}
	g := newTestGateway(t, st, func(chat.Submission, func(error)) { t.Error("something was published") })
	address, sessions := serveSessions(t, g)
	frame := []byte(`{"t":"send","id":"00000000-0000-7000-8000-000000000000","conversation":"0000000","body":"x"}`)
	idAt, conversationAt := bytes.Index(frame, []byte(`000","conv`))-4, bytes.Index(frame, []byte(`0000000","body`))
	var attacks, watchers sync.WaitGroup
	done := make(chan struct{})
	var all []*session
	for i := range attackers {
		conn := dial(t, address)
		all = append(all, <-sessions)
		attacks.Go(func() {
			go func() { _, _ = io.Copy(io.Discard, conn) }()
			var b bytes.Buffer
			for n := range each {
				number := fmt.Sprint(1_000_000 + i*each + n)
				p := bytes.Clone(frame)
				copy(p[idAt:], number)
				copy(p[conversationAt:], number)
				b.Write(masked(ws.OpText, true, string(p)))
				if b.Len() > 64<<10 || n == each-1 {
					if _, err := conn.Write(b.Bytes()); err != nil {
						return // cut off
					}
					b.Reset()
				}
			}
		})
	}
	most := struct{ backlog, refused, entries, loads int }{}
	watchers.Go(func() {
		for {
			for _, s := range all {
				s.mu.Lock()
				most.backlog = max(most.backlog, len(s.backlog))
				refused := 0
				for _, waiting := range s.order.refused {
					refused += len(waiting)
				}
				most.refused = max(most.refused, refused)
				s.mu.Unlock()
			}
			g.members.mu.Lock()
			most.entries, most.loads = max(most.entries, len(g.members.entries)), max(most.loads, len(g.members.loads))
			g.members.mu.Unlock()
			select {
			case <-done:
				return
			default:
				time.Sleep(time.Millisecond)
			}
		}
	})
	attacks.Wait()
	for _, s := range all {
		s.conn.Close(wire.CloseGoodbye, "over")
		eventually.True(t, "the end of the session", func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.closed && s.backlog == nil && s.syncs == nil
		})
	}
	close(done)
	watchers.Wait()
	if most.backlog > g.cfg.InFlight+spareBacklog || most.refused > maxRefused || most.entries > 0 || most.loads > attackers {
		t.Errorf("kept at most %+v", most)
	}
	if n := g.inFlight.Load(); n != 0 {
		t.Errorf("%d sends are in flight", n)
	}
}

// A client that keeps to what its configuration allows never spends too much.
func TestHonestClientsKeepWithinTheirBudget(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := Config{
			PerSecond:          float64(rapid.SampledFrom([]int{1, 20, 500, 100_000}).Draw(t, "per second")),
			Burst:              rapid.SampledFrom([]int{1, 60, 5000, 1_000_000}).Draw(t, "burst"),
			InFlight:           rapid.SampledFrom([]int{1, 128, 5000}).Draw(t, "in flight"),
			ConnectionsPerUser: rapid.SampledFrom([]int{1, 50, 10_000}).Draw(t, "connections"),
			MaxFrame:           rapid.SampledFrom([]int{1 << 10, 128 << 10, 1 << 30}).Draw(t, "frame"),
		}.WithDefaults()
		c, err := newCosts(cfg)
		if err != nil {
			t.Fatal(err)
		}
		// Of each kind there is a bucket of what the client may still send, filled as
		// the protocol allows.
		type kind struct {
			name             string
			perSecond, burst float64
			cost             time.Duration
			left             float64
		}
		retries := float64(cfg.InFlight) * float64(time.Second/errOrder.After)
		kinds := []*kind{
			{name: "sends", perSecond: cfg.PerSecond, burst: float64(cfg.Burst), cost: c.of(cfg.MaxFrame)},
			{name: "sends again", perSecond: retries, burst: float64(maxRefused + cfg.InFlight), cost: c.of(0)},
			{name: "requests", perSecond: 50, burst: 200, cost: c.of(0) + requestCost},
			{name: "lists to watch", perSecond: 0, burst: 5, cost: c.of(0) + c.ofRequest(&wire.Watch{Users: make([]chat.UserID, cfg.WatchUsers)})},
			{name: "heartbeats", perSecond: 20, burst: 20, cost: c.of(0)},
			{name: "pings of WebSocket", perSecond: 5, burst: 5, cost: c.of(125)},
		}
		for _, k := range kinds {
			k.left = k.burst
		}
		var b budget
		now := time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "begin"))
		b = budget(now) + budget(cfg.ConnectionsPerUser)*budget(budgetSize)/budget(4*cfg.ConnectionsPerUser) // all were opened at once
		syncs := []time.Duration{}                                                                           // when those without an answer are answered
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			k := rapid.SampledFrom(kinds).Draw(t, "kind")
			n := int(k.left * rapid.Float64Range(0, 1).Draw(t, "part"))
			k.left -= float64(n)
			if debt := b.spend(now, time.Duration(n)*k.cost); debt > budgetSize {
				t.Fatalf("%d %s are too much: %v are owed", n, k.name, debt)
			}
			for len(syncs) > 0 && syncs[0] <= now {
				syncs = syncs[1:]
			}
			for range rapid.IntRange(0, 256-len(syncs)).Draw(t, "syncs") {
				debt := b.spend(now, c.of(100)+syncCost)
				if debt > budgetSize {
					t.Fatalf("a sync is too much: %v are owed", debt)
				}
				syncs = append(syncs, now+debt-syncShare)
			}
			passed := time.Duration(rapid.Int64Range(0, int64(5*time.Second)).Draw(t, "passed"))
			now += passed
			for _, k := range kinds {
				k.left = min(k.burst, k.left+k.perSecond*passed.Seconds())
			}
		}
	})
}

// FuzzBudget has a client send anything: whatever it is, it costs something, and in the
// end nothing more is read.
func FuzzBudget(f *testing.F) {
	for _, p := range [][]byte{
		text(`{"t":"sync","id":"a"}`), text(`{"t":`), text(`{"t":"watch","users":["1","2"]}`), masked(ws.OpPing, true, ""),
		append(masked(ws.OpText, false, `{"t":`), masked(ws.OpContinuation, true, `"ping"}`)...), masked(ws.OpClose, true, ""), masked(ws.OpBinary, true, "x"),
	} {
		f.Add(p)
	}
	c, err := newCosts(Config{}.WithDefaults())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		frame, err := wire.DecodeInbound(p)
		cost := c.of(len(p))
		if err == nil {
			if cost += c.ofRequest(frame); cost < c.frame {
				t.Errorf("%q costs %v", p, cost)
			}
		}
		var b budget
		n := 0
		for now := time.Duration(1); b.spend(now, cost) <= budgetSize+debtLimit; n++ {
			if n > int((budgetSize+debtLimit)/c.frame) {
				t.Fatalf("%q goes on for ever", p)
			}
		}
	})
}

// Who owes too much is kept from connecting, and who connects takes over the debt.
func TestDebtOutlivesTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := newCosts(Config{}.WithDefaults())
		if err != nil {
			t.Fatal(err)
		}
		b, wait := c.connect(1, 11)
		if wait != 0 {
			t.Fatalf("a new device waits for %v", wait)
		}
		for debt := time.Duration(0); debt <= budgetSize+debtLimit; {
			debt = b.spend(c.now(), c.of(1))
		}
		c.disconnect(11, b)
		if _, wait := c.connect(1, 11); wait < debtLimit || wait > debtLimit+time.Second {
			t.Errorf("a device that was cut off waits for %v", wait)
		}
		if b, wait := c.connect(1, 12); wait != 0 || time.Duration(b) > c.now() {
			t.Errorf("another device of the same person waits for %v, and owes %v", wait, time.Duration(b)-c.now())
		}
		for range 1000 {
			_, _ = c.connect(1, 11) // whose client does not wait
		}
		if _, wait := c.connect(1, 12); wait != 0 {
			t.Errorf("then another device of the same person waits for %v", wait)
		}
		time.Sleep(debtLimit + time.Second)
		b, wait = c.connect(1, 11)
		if left := budgetSize - (time.Duration(b) - c.now()); wait != 0 || left > time.Second {
			t.Errorf("later it waits for %v, and has %v to spend", wait, left)
		}
		time.Sleep(budgetSize + debtLimit)
		for n := range 4 * 50 {
			if _, wait := c.connect(1, 13); wait != 0 {
				t.Fatalf("the %d. of all connections waits for %v", n, wait)
			}
		}
		if _, wait := c.connect(1, 13); wait == 0 {
			t.Error("an account may connect for ever")
		}
	})
}

// What comes with the request for the connection, before hello can be said, has the
// same bounds.
func TestFloodBeforeHello(t *testing.T) {
	g := newTestGateway(t, &stubStore{}, nil)
	address, sessions := serveSessions(t, g)
	for name, frames := range map[string][]byte{
		"too many": bytes.Repeat(text(`[]`), 400),
		"too dear": bytes.Repeat(text(`[]`), 120),
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(address, "ws://"))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			request := "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
				"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: x\r\n\r\n"
			if _, err := conn.Write(append([]byte(request), frames...)); err != nil {
				t.Fatal(err)
			}
			r := bufio.NewReader(conn)
			answer, err := http.ReadResponse(r, nil)
			if err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
				t.Fatalf("%v, %v", answer, err)
			}
			_ = answer.Body.Close()
			header, err := ws.ReadHeader(r)
			if err != nil {
				t.Fatal(err)
			}
			payload := make([]byte, header.Length)
			if _, err := io.ReadFull(r, payload); err != nil {
				t.Fatal(err)
			}
			if code, _ := ws.ParseCloseFrameData(payload); header.OpCode != ws.OpClose || code != wire.CloseFlooded {
				t.Errorf("answered with %q", payload)
			}
			<-sessions
		})
	}
}
