package gateway

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

// simulation is one client, two gateways, the broker, a worker and the store, on
// a clock of its own. What can go wrong does so at random, and everything takes
// time at random, mostly some milliseconds, sometimes more than a minute:
//
//   - The client writes messages, sends several before it is answered, loses its
//     connection and connects again, often to the other gateway, and gives
//     messages up, also those that are on their way.
//   - The network keeps the order of each direction of a connection. What is on
//     its way to a gateway when the client loses the connection arrives up to a
//     point, long after it.
//   - Gateways are stopped for a while and go on with what they have received.
//     They refuse at each step: too much in flight, too fast, a full backlog, a
//     look-up that fails, a broker that takes nothing; some messages finally.
//   - The broker loses batches, keeps batches without telling so, and has some
//     arrive long after it gave them up.
//   - The worker's store is away at times, acknowledgements are lost, and another
//     worker takes over while the first one is still about to store.
//
// Each step is atomic in the real system too.
type simulation struct {
	rand    *rand.Rand
	now     time.Duration
	events  []simEvent // a heap by time and number
	lastNum int
	faults  int // how many more things may go wrong by choice, so that a schedule ends

	gateways [2]simGateway
	client   simClient
	queue    []chat.ClientID // accepted by the broker, not acknowledged by the worker
	working  bool
	stored   []chat.ClientID
	seen     map[string]int // what happened, how often
}

type simEvent struct {
	at  time.Duration
	num int
	do  func()
}

func (e simEvent) before(f simEvent) bool {
	return e.at < f.at || e.at == f.at && e.num < f.num
}

// after schedules a step.
func (m *simulation) after(d time.Duration, do func()) {
	m.lastNum++
	m.events = append(m.events, simEvent{m.now + d, m.lastNum, do})
	for i := len(m.events) - 1; i > 0; {
		parent := (i - 1) / 2
		if !m.events[i].before(m.events[parent]) {
			break
		}
		m.events[i], m.events[parent] = m.events[parent], m.events[i]
		i = parent
	}
}

// step does the next step, and reports whether there was one.
func (m *simulation) step() bool {
	if len(m.events) == 0 {
		return false
	}
	next, last := m.events[0], len(m.events)-1
	m.events[0], m.events = m.events[last], m.events[:last]
	for i := 0; ; {
		child := 2*i + 1
		if child >= last {
			break
		}
		if child+1 < last && m.events[child+1].before(m.events[child]) {
			child++
		}
		if !m.events[child].before(m.events[i]) {
			break
		}
		m.events[i], m.events[child] = m.events[child], m.events[i]
		i = child
	}
	m.now = next.at
	next.do()
	return true
}

// delay returns how long something takes.
func (m *simulation) delay() time.Duration {
	longest := 20 * time.Millisecond
	switch m.rand.IntN(40) {
	case 0:
		longest = 100 * time.Second
	case 1, 2, 3, 4:
		longest = 2 * time.Second
	}
	return time.Duration(m.rand.Int64N(int64(longest)))
}

// fails reports, once in so many times, that something goes wrong.
func (m *simulation) fails(oneIn int, what string) bool {
	if m.faults == 0 || m.rand.IntN(oneIn) > 0 {
		return false
	}
	m.faults--
	m.seen[what]++
	return true
}

// The client. It does what the page's outbox does.

type simClient struct {
	outbox   []*simMessage
	unsent   []chat.ClientID // not written yet
	inFlight int             // most unanswered messages
	conn     *simConn        // nil without one
	paused   bool
	rejected []chat.ClientID // finally
	givenUp  map[chat.ClientID]bool
	unsure   map[chat.ClientID]bool // of these, those that may be stored
}

type simMessage struct {
	id     chat.ClientID
	sent   bool
	owed   bool
	unsure bool // it may have been published, and was not answered
}

type simFrame struct {
	id       chat.ClientID
	withdraw bool
	arrival  int64
}

type simAnswer struct {
	id       chat.ClientID
	kind     simKind
	after    time.Duration // of a refusal for now
	waitsFor chat.ClientID
	unknown  bool // the model knows that the message may have been published
}

type simKind int

const (
	simAccepted simKind = iota
	simRejected         // finally
	simRefused          // for now
	simStored           // pushed: it is in the conversation
)

func (m *simulation) write() {
	c := &m.client
	if len(c.unsent) == 0 {
		return
	}
	c.outbox = append(c.outbox, &simMessage{id: c.unsent[0]})
	c.unsent = c.unsent[1:]
	m.flush()
	m.after(m.delay(), m.write)
}

func (m *simulation) connect() {
	c := &m.client
	c.conn = &simConn{m: m, gateway: &m.gateways[m.rand.IntN(len(m.gateways))]}
	c.paused = false
	for _, e := range c.outbox {
		e.sent, e.owed = false, false
	}
	m.flush()
	conn := c.conn
	m.after(m.delay()*5, func() {
		if c.conn == conn && m.fails(2, "the connection broke") {
			m.disconnect()
		}
	})
}

// disconnect breaks the connection. The gateway gets what is on its way up to a
// moment, and then sees the end.
func (m *simulation) disconnect() {
	conn := m.client.conn
	m.client.conn = nil
	for _, e := range m.client.outbox {
		e.unsure = e.unsure || e.sent
	}
	conn.lostFrom = m.now + m.delay()
	conn.atGateway(conn.lostFrom-m.now, func() { conn.closed, conn.backlog = true, nil })
	m.after(m.delay(), m.connect)
}

func (m *simulation) find(id chat.ClientID) *simMessage {
	for _, e := range m.client.outbox {
		if e.id == id {
			return e
		}
	}
	return nil
}

func (m *simulation) flush() {
	c := &m.client
	if c.conn == nil || c.paused {
		return
	}
	inFlight := 0
	for _, e := range c.outbox {
		if e.sent {
			inFlight++
		}
	}
	for _, e := range c.outbox {
		if inFlight >= c.inFlight {
			return
		}
		if !e.sent {
			e.sent, e.owed = true, false
			inFlight++
			c.conn.up(simFrame{id: e.id})
		}
	}
}

func (m *simulation) removeFromOutbox(id chat.ClientID) {
	if e := m.find(id); e != nil && e.owed {
		m.withdraw(id)
	}
	m.client.outbox = slices.DeleteFunc(m.client.outbox, func(e *simMessage) bool { return e.id == id })
	m.flush()
}

func (m *simulation) withdraw(id chat.ClientID) {
	if m.client.conn != nil {
		m.seen["a message was withdrawn"]++
		m.client.conn.up(simFrame{id: id, withdraw: true})
	}
}

// giveUp removes a message from the outbox that the client no longer wants to
// send, wherever it is.
func (m *simulation) giveUp() {
	c := &m.client
	if len(c.outbox) > 0 && m.fails(1, "a message was given up") {
		e := c.outbox[m.rand.IntN(len(c.outbox))]
		c.givenUp[e.id] = true
		c.unsure[e.id] = e.unsure || e.sent
		m.removeFromOutbox(e.id)
		if m.rand.IntN(4) == 0 {
			m.withdraw(e.id) // needlessly
		}
	}
}

func (m *simulation) hear(conn *simConn, a simAnswer) {
	c := &m.client
	if c.conn != conn {
		return
	}
	switch a.kind {
	case simAccepted:
		c.outbox = slices.DeleteFunc(c.outbox, func(e *simMessage) bool { return e.id == a.id })
		m.flush()
	case simStored:
		m.removeFromOutbox(a.id)
	case simRejected:
		if m.find(a.id) != nil {
			c.rejected = append(c.rejected, a.id)
			m.removeFromOutbox(a.id)
		}
	case simRefused:
		if a.waitsFor != (chat.ClientID{}) && m.find(a.waitsFor) == nil {
			m.withdraw(a.waitsFor)
		}
		e := m.find(a.id)
		if e == nil {
			m.withdraw(a.id)
			return
		}
		e.sent, e.owed, e.unsure = false, true, e.unsure || a.unknown
		if !c.paused {
			c.paused = true
			m.after(a.after, func() {
				if c.conn == conn {
					c.paused = false
					m.flush()
				}
			})
		}
	}
}

// The network.

// simConn is a connection, with the gateway's side of it: what session and
// sendSource do.
type simConn struct {
	m            *simulation
	gateway      *simGateway
	upAt, downAt time.Duration // when the last frame arrives
	lostFrom     time.Duration // later frames to the gateway do not arrive; 0 while it is open

	order    sendOrder
	arrivals int64
	busy     bool
	backlog  []simFrame
	closed   bool
	inFlight int
}

func (c *simConn) up(f simFrame) {
	c.upAt = max(c.upAt, c.m.now+c.m.delay())
	at := c.upAt
	c.atGateway(at-c.m.now, func() {
		if c.lostFrom == 0 || at < c.lostFrom {
			c.receive(f)
		}
	})
}

func (c *simConn) down(a simAnswer) {
	c.downAt = max(c.downAt, c.m.now+c.m.delay())
	c.m.after(c.downAt-c.m.now, func() { c.m.hear(c, a) })
}

// atGateway schedules a step of a gateway, which may be stopped.
func (c *simConn) atGateway(d time.Duration, do func()) { c.gateway.after(c.m, d, do) }

// The gateway.

type simGateway struct {
	stoppedUntil time.Duration
	held         []func()     // what it does when it goes on
	waiting      []simPublish // for the broker
	publishing   bool
	failing      bool // a batch has failed; nothing is taken
}

type simPublish struct {
	conn  *simConn
	frame simFrame
}

func (g *simGateway) after(m *simulation, d time.Duration, do func()) {
	m.after(d, func() {
		if m.now < g.stoppedUntil || len(g.held) > 0 {
			g.held = append(g.held, do)
			return
		}
		do()
	})
}

// stop stops the process for a while.
func (g *simGateway) stop(m *simulation, d time.Duration) {
	g.stoppedUntil = max(g.stoppedUntil, m.now+d)
	m.after(g.stoppedUntil-m.now, func() {
		if m.now < g.stoppedUntil {
			return
		}
		for len(g.held) > 0 {
			do := g.held[0]
			g.held = g.held[1:]
			do()
		}
	})
}

const (
	simMaxBacklog  = 3
	simMaxInFlight = 4
)

func (c *simConn) receive(f simFrame) {
	if c.closed {
		return
	}
	if c.m.client.conn != c {
		c.m.seen["a frame came after its connection"]++
	}
	c.arrivals++
	f.arrival = c.arrivals
	switch {
	case !c.busy:
		c.handle(f)
	case len(c.backlog) < simMaxBacklog:
		c.backlog = append(c.backlog, f)
	case f.withdraw:
		c.m.seen["a withdrawal got lost"]++
	default:
		c.refuse(f, "the backlog was full", false)
	}
}

func (c *simConn) runBacklog() {
	c.busy = false
	for len(c.backlog) > 0 && !c.busy {
		f := c.backlog[0]
		c.backlog = c.backlog[1:]
		c.handle(f)
	}
}

func (c *simConn) handle(f simFrame) {
	m := c.m
	switch {
	case f.withdraw:
		c.order.withdraw(f.id)
	case c.order.mustWait(simConversation, c.order.arrivalOf(simConversation, f.id, f.arrival)):
		c.refuse(f, "an earlier message came first", false)
	case c.inFlight >= simMaxInFlight:
		c.refuse(f, "too much was in flight", false)
	case m.fails(8, "too fast"):
		c.refuse(f, "it was too fast", false)
	case m.isInvalid(f.id):
		c.order.remove(simConversation, f.id)
		c.down(simAnswer{id: f.id, kind: simRejected})
	case m.rand.IntN(3) == 0:
		c.busy = true
		c.atGateway(m.delay(), func() {
			if m.fails(8, "a look-up failed") {
				c.refuse(f, "", false)
			} else {
				c.publish(f)
			}
			c.runBacklog()
		})
	default:
		c.publish(f)
	}
}

func (c *simConn) publish(f simFrame) {
	if c.closed {
		c.m.seen["a look-up took longer than its connection"]++
		return
	}
	f.arrival = c.order.arrivalOf(simConversation, f.id, f.arrival)
	if c.order.mustWait(simConversation, f.arrival) {
		c.refuse(f, "an earlier message was refused during a look-up", false)
		return
	}
	c.order.remove(simConversation, f.id)
	c.inFlight++
	if c.m.client.conn != c {
		c.m.seen["a send was published after its connection"]++
	}
	if c.gateway.failing || c.m.fails(10, "the broker was full") {
		c.confirmed(f, true, false)
		return
	}
	c.gateway.waiting = append(c.gateway.waiting, simPublish{c, f})
	c.gateway.publishBatch(c.m)
}

func (c *simConn) confirmed(f simFrame, failed, unknown bool) {
	c.inFlight--
	if failed {
		c.refuse(f, "", unknown)
		return
	}
	c.down(simAnswer{id: f.id, kind: simAccepted})
}

func (c *simConn) refuse(f simFrame, why string, unknown bool) {
	if why != "" {
		c.m.seen[why]++
	}
	f.arrival = c.order.arrivalOf(simConversation, f.id, f.arrival)
	c.order.refuse(simConversation, f.id, f.arrival)
	first, _ := c.order.firstRefused(simConversation, f.arrival)
	c.down(simAnswer{id: f.id, kind: simRefused, after: time.Duration(1 + c.m.rand.IntN(500)*int(time.Millisecond)), waitsFor: first, unknown: unknown})
}

// The broker.

// publishBatch publishes what waits, one batch at a time. What waits behind a
// batch that failed fails with it.
func (g *simGateway) publishBatch(m *simulation) {
	if g.publishing || len(g.waiting) == 0 {
		return
	}
	g.publishing = true
	n := 1 + m.rand.IntN(len(g.waiting))
	batch := slices.Clone(g.waiting[:n])
	g.waiting = slices.Delete(g.waiting, 0, n)
	arrive := func() {
		for _, p := range batch {
			m.queue = append(m.queue, p.frame.id)
		}
		m.work()
	}
	taken := m.delay()
	switch {
	case m.fails(8, "a batch was lost"):
		g.after(m, taken, func() { g.fail(m, batch, true) })
	case m.fails(8, "a batch was kept without a confirmation"):
		m.after(m.delay(), arrive) // even after it was given up
		g.after(m, taken, func() { g.fail(m, batch, true) })
	default:
		m.after(taken, arrive)
		g.after(m, taken+m.delay(), func() {
			for _, p := range batch {
				p.conn.confirmed(p.frame, false, false)
			}
			g.publishing = false
			g.publishBatch(m)
		})
	}
}

// fail refuses a batch, one message after the other, and then what waits.
func (g *simGateway) fail(m *simulation, batch []simPublish, unknown bool) {
	g.failing = true
	if len(batch) == 0 {
		batch, g.waiting, unknown = g.waiting, nil, false
	}
	if len(batch) == 0 {
		g.failing, g.publishing = false, false
		return
	}
	batch[0].conn.confirmed(batch[0].frame, true, unknown)
	g.after(m, m.delay()/100, func() { g.fail(m, batch[1:], unknown) })
}

// The worker and the store.

// work stores what the broker hands over: a beginning of its queue.
func (m *simulation) work() {
	if m.working || len(m.queue) == 0 {
		return
	}
	m.working = true
	n := 1 + m.rand.IntN(len(m.queue))
	batch := slices.Clone(m.queue[:n])
	stored, acknowledged := true, true
	switch {
	case m.fails(6, "the store was away"):
		stored, acknowledged = false, false
	case m.fails(10, "an acknowledgement was lost"):
		acknowledged = false
	case m.fails(10, "another worker took over"):
		stored, acknowledged = false, false
		m.after(m.delay()*3, func() { m.store(batch) })
	}
	m.after(m.delay(), func() {
		if stored {
			m.store(batch)
		}
		if acknowledged {
			m.queue = slices.Delete(m.queue, 0, n)
		}
		m.working = false
		m.work()
	})
}

func (m *simulation) store(batch []chat.ClientID) {
	for _, id := range batch {
		if slices.Contains(m.stored, id) {
			m.seen["a message came to the store twice"]++
			continue
		}
		m.stored = append(m.stored, id)
		if conn := m.client.conn; conn != nil && m.rand.IntN(4) > 0 {
			conn.down(simAnswer{id: id, kind: simStored})
		}
	}
}

const simConversation chat.ConversationID = 1

// isInvalid reports whether every gateway refuses a message finally.
func (m *simulation) isInvalid(id chat.ClientID) bool { return id[15] == 1 }

const simMessages = 8

// run runs a schedule to its end.
func (m *simulation) run(seed uint64) error {
	m.rand = rand.New(rand.NewPCG(seed, 1))
	m.faults = m.rand.IntN(24)
	m.client = simClient{inFlight: 1 + m.rand.IntN(simMessages), givenUp: map[chat.ClientID]bool{}, unsure: map[chat.ClientID]bool{}}
	for i := range simMessages {
		id := clientIDOf(i + 1)
		if m.rand.IntN(24) == 0 {
			id[15] = 1 // invalid
		}
		m.client.unsent = append(m.client.unsent, id)
	}
	ids := slices.Clone(m.client.unsent)
	m.connect()
	m.write()
	for i := range m.gateways {
		g := &m.gateways[i]
		for range 2 {
			m.after(m.delay()*10, func() {
				if m.fails(3, "a gateway was stopped") {
					g.stop(m, m.delay()*20)
				}
			})
		}
	}
	for range 3 {
		m.after(m.delay()*10, func() {
			if m.rand.IntN(4) == 0 {
				m.giveUp()
			}
		})
	}
	for steps := 0; m.step(); steps++ {
		if steps > 20_000 {
			break
		}
	}
	if len(m.client.outbox) > 0 || len(m.events) > 0 {
		return fmt.Errorf("%d messages never went through", len(m.client.outbox))
	}
	var want, got []chat.ClientID
	for _, id := range ids {
		if !m.client.givenUp[id] && !slices.Contains(m.client.rejected, id) {
			want = append(want, id)
		}
	}
	for _, id := range m.stored {
		if !m.client.unsure[id] {
			got = append(got, id)
		}
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("stored %s, want %s", formatIDs(got), formatIDs(want))
	}
	return nil
}

// However frames, refusals, look-ups, withdrawals, connections, batches and
// deliveries interleave, a sender's messages are stored in the order in which
// they were first sent, each once, and what was withdrawn before it could have
// been published is not stored. See sendOrder for what is left out of this: a
// message that was given up while it may have been published.
func TestOrderOfOneSender(t *testing.T) {
	schedules := uint64(100_000)
	if testing.Short() {
		schedules = 5_000
	}
	var next, failed atomic.Uint64
	var mu sync.Mutex
	seen := map[string]int{}
	var running sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		running.Go(func() {
			all := map[string]int{}
			for seed := next.Add(1); seed <= schedules && failed.Load() < 5; seed = next.Add(1) {
				m := &simulation{seen: all}
				if err := m.run(seed); err != nil {
					failed.Add(1)
					t.Errorf("seed %d: %v", seed, err)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			for what, n := range all {
				seen[what] += n
			}
		})
	}
	running.Wait()
	if t.Failed() {
		return
	}
	// A schedule in which nothing goes wrong shows nothing.
	for _, what := range []string{
		"a batch was kept without a confirmation", "a batch was lost", "a frame came after its connection", "a gateway was stopped",
		"a look-up failed", "a look-up took longer than its connection", "a message came to the store twice", "a message was given up",
		"a message was withdrawn", "a send was published after its connection", "a withdrawal got lost", "an acknowledgement was lost",
		"an earlier message came first", "an earlier message was refused during a look-up", "another worker took over", "it was too fast",
		"the backlog was full", "the broker was full", "the connection broke", "the store was away", "too much was in flight",
	} {
		t.Logf("%7d times %s", seen[what], what)
		if seen[what] < int(schedules/1000) {
			t.Errorf("%s only %d times", what, seen[what])
		}
	}
}

func formatIDs(ids []chat.ClientID) string {
	var s strings.Builder
	for _, id := range ids {
		fmt.Fprint(&s, binary.BigEndian.Uint32(id[:]), " ")
	}
	return s.String()
}
