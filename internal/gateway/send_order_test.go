package gateway

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

// orderModel models a client, the gateway's side of one connection, and a
// broker. Frames between them are delayed and refused at random. Each step is
// atomic in the real system too.
type orderModel struct {
	rand  *rand.Rand
	order sendOrder
	now   time.Time

	outbox   []chat.ClientID        // the client's unanswered messages, in order
	sent     map[chat.ClientID]bool // those of them that are in flight
	paused   bool                   // the client was told to wait
	up       []orderFrame           // from the client
	down     []orderAnswer          // to the client
	arrivals int64
	lookup   *orderFrame  // admitted; something is looked up for it
	waiting  []orderFrame // published and not handled by the broker yet
	failing  bool         // a batch has failed; the broker refuses all that is published
	drained  bool         // what waited behind that batch is in refusing
	refusing []orderFrame // to be refused one by one
	stored   []chat.ClientID
}

type orderFrame struct {
	id      chat.ClientID
	arrival int64
}

type orderAnswer struct {
	id chat.ClientID
	ok bool
}

const orderConversation chat.ConversationID = 1

func (m *orderModel) refuse(f orderFrame) {
	m.order.refuse(orderConversation, f.id, m.order.arrivalOf(orderConversation, f.id, f.arrival), m.now, 0)
	m.down = append(m.down, orderAnswer{id: f.id})
}

func (m *orderModel) clientSends() {
	if m.paused {
		return
	}
	for _, id := range m.outbox {
		if !m.sent[id] {
			m.sent[id] = true
			m.up = append(m.up, orderFrame{id: id})
			return
		}
	}
}

func (m *orderModel) clientHears() {
	if len(m.down) == 0 {
		return
	}
	a := m.down[0]
	m.down = m.down[1:]
	if a.ok {
		m.outbox = slices.DeleteFunc(m.outbox, func(id chat.ClientID) bool { return id == a.id })
		return
	}
	m.sent[a.id] = false
	m.paused = true
}

func (m *orderModel) gatewayReads() {
	if m.lookup != nil || len(m.up) == 0 {
		return
	}
	f := m.up[0]
	m.up = m.up[1:]
	m.arrivals++
	f.arrival = m.arrivals
	if m.rand.IntN(4) == 0 || m.order.mustWait(orderConversation, m.order.arrivalOf(orderConversation, f.id, f.arrival), m.now) {
		m.refuse(f)
		return
	}
	m.lookup = &f
}

func (m *orderModel) gatewayPublishes() {
	if m.lookup == nil {
		return
	}
	f := *m.lookup
	m.lookup = nil
	f.arrival = m.order.arrivalOf(orderConversation, f.id, f.arrival)
	if m.order.mustWait(orderConversation, f.arrival, m.now) {
		m.refuse(f)
		return
	}
	m.order.remove(orderConversation, f.id)
	if m.failing {
		m.refuse(f)
		return
	}
	m.waiting = append(m.waiting, f)
}

// brokerHandles stores a batch or starts to fail it. Messages behind a failed
// batch fail with it.
func (m *orderModel) brokerHandles() {
	switch {
	case len(m.refusing) > 0:
		m.refuse(m.refusing[0])
		m.refusing = m.refusing[1:]
		return
	case m.failing && !m.drained:
		m.refusing, m.waiting, m.drained = m.waiting, nil, true
		return
	case m.failing:
		m.failing = false
		return
	case len(m.waiting) == 0:
		return
	}
	n := 1 + m.rand.IntN(len(m.waiting))
	batch := m.waiting[:n:n]
	m.waiting = m.waiting[n:]
	lost := m.rand.IntN(3) == 0
	if !lost || m.rand.IntN(2) == 0 { // stored; when lost, without a confirmation
		for _, f := range batch {
			if !slices.Contains(m.stored, f.id) {
				m.stored = append(m.stored, f.id)
			}
		}
	}
	if lost {
		m.refusing, m.failing, m.drained = batch, true, false
		return
	}
	for _, f := range batch {
		m.down = append(m.down, orderAnswer{id: f.id, ok: true})
	}
}

// However frames, refusals and look-ups interleave, a sender's messages are
// stored in the order in which they were sent.
func TestOrderOfOneSenderUnderRefusals(t *testing.T) {
	const schedules, messages = 20_000, 8
	for seed := range uint64(schedules) {
		m := &orderModel{rand: rand.New(rand.NewPCG(seed, 1)), now: time.Unix(0, 0), sent: map[chat.ClientID]bool{}}
		var ids []chat.ClientID
		for i := range messages {
			var id chat.ClientID
			binary.BigEndian.PutUint32(id[:], uint32(i+1))
			ids = append(ids, id)
		}
		m.outbox = slices.Clone(ids)
		steps := []func(){
			m.clientSends, m.clientSends, m.clientHears, func() { m.paused = false },
			m.gatewayReads, m.gatewayReads, m.gatewayPublishes, m.brokerHandles,
		}
		for step := 0; len(m.outbox) > 0; step++ {
			if step > 100_000 {
				t.Fatalf("seed %d: %d messages never went through", seed, len(m.outbox))
			}
			m.now = m.now.Add(time.Millisecond / 10)
			steps[m.rand.IntN(len(steps))]()
		}
		if !slices.Equal(m.stored, ids) {
			t.Fatalf("seed %d: stored in the order %s", seed, formatIDs(m.stored))
		}
	}
}

func formatIDs(ids []chat.ClientID) (s string) {
	for _, id := range ids {
		s += fmt.Sprint(binary.BigEndian.Uint32(id[:]), " ")
	}
	return s
}

// A message that its client gave up does not block others for ever, and the
// number of refused sends that are kept is bounded.
func TestRefusedSendsExpireAndAreBounded(t *testing.T) {
	var o sendOrder
	now := time.Unix(0, 0)
	idOf := func(i int) (id chat.ClientID) {
		binary.BigEndian.PutUint32(id[:], uint32(i))
		return id
	}
	o.refuse(1, idOf(1), 1, now, 0)
	if !o.mustWait(1, 2, now.Add(refusedTTL-1)) {
		t.Error("a send after a refused one does not wait for it")
	}
	if o.mustWait(2, 2, now) {
		t.Error("another conversation waits")
	}
	if o.mustWait(1, 2, now.Add(refusedTTL)) {
		t.Error("a message that is not sent again blocks others for ever")
	}
	if o.count != 0 || len(o.refused) != 0 {
		t.Errorf("%d refused sends of %d conversations are kept", o.count, len(o.refused))
	}
	for i := range maxRefused {
		if !o.refuse(chat.ConversationID(i), idOf(i), int64(i), now, 0) {
			t.Fatalf("no room for refusal %d", i)
		}
	}
	if !o.refuse(0, idOf(0), 0, now, 0) {
		t.Error("no room for a message that was refused before")
	}
	if later := now.Add(refusedTTL); !o.refuse(5000, idOf(5000), 5000, later, 0) || o.count != 1 {
		t.Errorf("expired refusals are not removed: %d are kept", o.count)
	}
	for i := range maxRefused - 1 {
		o.refuse(chat.ConversationID(i), idOf(i), int64(i), now.Add(refusedTTL), 0)
	}
	if o.refuse(6000, idOf(6000), 6000, now.Add(refusedTTL), 0) {
		t.Error("more refused sends are kept than maxRefused")
	}
	if !o.mustWait(7000, 7000, now.Add(10*refusedTTL)) {
		t.Error("something may be published on a connection that lost its order")
	}
}

// Messages that are refused because an earlier one was expire with that one,
// also when they are sent all the time: a client that does not repeat a message
// is held up for as long as refusedTTL, and no longer.
func TestRefusedSendsExpireWithTheirCause(t *testing.T) {
	var o sendOrder
	start := time.Unix(0, 0)
	const retryAfter = 50 * time.Second
	send := func(i int64, at time.Time) (published bool) {
		var id chat.ClientID
		binary.BigEndian.PutUint64(id[:], uint64(i))
		if o.mustWait(1, i, at) {
			o.refuse(1, id, i, at, 100*time.Millisecond)
			return false
		}
		return true
	}
	o.refuse(1, chat.ClientID{15: 1}, 0, start, retryAfter)
	for i := int64(1); ; i++ {
		at := start.Add(time.Duration(i) * time.Second)
		if send(i, at) {
			if at.Before(start.Add(retryAfter + refusedTTL)) {
				t.Errorf("published after %v, before the refused one was given up", at.Sub(start))
			}
			break
		}
		if i > 200 {
			t.Fatal("a client that sends all the time is refused for ever")
		}
		if o.count != len(o.refused[1]) {
			t.Fatalf("%d sends are counted, and %d are kept", o.count, len(o.refused[1]))
		}
	}
	if o.count != 0 || len(o.refused) != 0 {
		t.Errorf("%d refused sends are counted, of %d conversations", o.count, len(o.refused))
	}
}

// An expired send in front of one that has not expired is removed once.
func TestExpiredSendsAreCountedOnce(t *testing.T) {
	var o sendOrder
	now := time.Unix(0, 0)
	o.refuse(1, chat.ClientID{15: 1}, 1, now, 0)
	o.refuse(1, chat.ClientID{15: 2}, 2, now, time.Minute)
	o.refused[1][1].until = now.Add(time.Hour)
	for range 5 {
		if !o.mustWait(1, 3, now.Add(refusedTTL)) {
			t.Fatal("the second refused send is not waited for")
		}
	}
	if o.count != 1 || len(o.refused[1]) != 1 {
		t.Errorf("%d sends are counted, and %d are kept, want 1", o.count, len(o.refused[1]))
	}
}
