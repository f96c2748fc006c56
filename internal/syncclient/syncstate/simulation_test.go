package syncstate_test

import (
	"container/heap"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/syncclient/syncstate"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// The bound of G4, on a synthetic clock: while pushes are lost (with and without
// the gateway's knowing), overtake each other and arrive late, while requests
// are refused and connections cut, while the user is removed from conversations
// and comes back, a device may fall behind. Five seconds after all of that has
// ended it has everything, though traffic goes on.
func TestWholeWithinFiveSeconds(t *testing.T) {
	schedules := 10_000
	if raceEnabled {
		schedules = 1_000 // the same machine without the race detector runs them all
	}
	const shards = 4
	for shard := range shards {
		t.Run(strconv.Itoa(shard), func(t *testing.T) {
			t.Parallel()
			for seed := shard; seed < schedules; seed += shards {
				if err := newSimulation(uint64(seed)).run(); err != nil {
					t.Fatalf("schedule %d: %v", seed, err)
				}
			}
		})
	}
}

const (
	faultsFor   = 12 * time.Second
	repairBound = 5 * time.Second

	simHeartbeat = 3 * time.Second
	simGap       = 2 * time.Second // pubsub.GapLatency
	simLatency   = 40 * time.Millisecond
	simPage      = 3 // entries of an answer
)

var simClientID = chat.ClientID(uuid.Must(uuid.NewV7()))

// simulation is a server with one user's conversations, the network, and a
// device.
type simulation struct {
	rand   *rand.Rand
	now    time.Time
	start  time.Time
	events events
	order  int // of events at one time
	faulty bool

	// The server's side.
	changes       int64 // number of the last change of anything
	conversations []*simConversation

	// The network. A connection's frames keep their order.
	connection       int // number of the connection; 0 without one
	connections      int
	uplink, downlink time.Time // when the last frame arrives

	// The device's side.
	device syncstate.Machine
	shown  map[chat.ConversationID]map[int64]int64 // rev by seq
	ticks  time.Time                               // when the machine is to be called next
	err    error
}

// simConversation is a conversation as the server has it.
type simConversation struct {
	id      chat.ConversationID
	rev     int64
	seqs    []int64 // rev of each message, by seq-1
	member  bool
	changed int64 // number of its last change
	joined  int64 // number of the last change of the membership
}

func newSimulation(seed uint64) *simulation {
	s := &simulation{
		rand: rand.New(rand.NewPCG(seed, 1)), start: time.Unix(1_767_225_600, 0), faulty: true,
		device: syncstate.New(syncstate.Options{FromStart: true}), shown: map[chat.ConversationID]map[int64]int64{},
	}
	s.now = s.start
	for id := range 2 + s.rand.IntN(5) {
		c := &simConversation{id: chat.ConversationID(id + 1), member: s.rand.IntN(4) > 0}
		s.conversations = append(s.conversations, c)
		if c.member {
			s.changes++
			c.joined = s.changes
		}
		for range s.rand.IntN(6) {
			s.change(c)
		}
	}
	return s
}

func (s *simulation) run() error {
	s.connect()
	s.after(0, s.act)
	s.at(s.start.Add(faultsFor), func() {
		s.faulty = false
		want := map[chat.ConversationID]int64{}
		for _, c := range s.conversations {
			want[c.id] = c.rev
		}
		s.after(repairBound, func() { s.check(want) })
	})
	for s.err == nil && len(s.events) > 0 && s.now.Sub(s.start) <= faultsFor+repairBound {
		e := heap.Pop(&s.events).(*event)
		s.now = e.at
		e.do()
	}
	return s.err
}

// check compares the device with the server: it has every conversation up to
// where it was when the faults ended, or later.
func (s *simulation) check(want map[chat.ConversationID]int64) {
	for _, c := range s.conversations {
		rev, _ := s.device.Rev(c.id)
		if s.device.Has(c.id) != c.member {
			s.fail("conversation %d: the device has it: %t; the user is a member: %t", c.id, s.device.Has(c.id), c.member)
			return
		}
		if !c.member {
			continue
		}
		if rev < want[c.id] {
			s.fail("conversation %d: seen up to %d of %d", c.id, rev, want[c.id])
			return
		}
		for i, r := range c.seqs {
			if r <= rev && s.shown[c.id][int64(i+1)] != r {
				s.fail("conversation %d: message %d is shown as of %d, not %d, though seen up to %d", c.id, i+1, s.shown[c.id][int64(i+1)], r, rev)
				return
			}
		}
	}
}

func (s *simulation) fail(format string, args ...any) {
	if s.err == nil {
		s.err = fmt.Errorf("after %v: "+format, append([]any{s.now.Sub(s.start)}, args...)...)
	}
}

// act does something at random, and again a little later.
func (s *simulation) act() {
	c := s.conversations[s.rand.IntN(len(s.conversations))]
	switch n := s.rand.IntN(100); {
	case !s.faulty && n < 30: // traffic goes on
		s.push(s.change(c))
	case !s.faulty:
	case n < 70:
		for range 1 + s.rand.IntN(4) {
			s.push(s.change(c))
		}
	case n < 76:
		s.setMember(c, !c.member)
	case n < 82:
		s.cut()
	}
	s.after(time.Duration(s.rand.IntN(400))*time.Millisecond, s.act)
}

// change adds a message to a conversation, edits one, or renames it, and returns
// the frame about it.
func (s *simulation) change(c *simConversation) (*simConversation, any) {
	s.changes++
	c.rev++
	c.changed = s.changes
	switch n := s.rand.IntN(10); {
	case n < 7 || len(c.seqs) == 0:
		c.seqs = append(c.seqs, c.rev)
		return c, wire.MessageFrame{T: "message", Message: c.message(len(c.seqs))}
	case n < 9:
		seq := 1 + s.rand.IntN(len(c.seqs))
		c.seqs[seq-1] = c.rev
		return c, wire.MessageFrame{T: "edited", Message: c.message(seq)}
	}
	return c, wire.ConversationFrame{T: "conversation", Conversation: conversation(c.id, c.rev).Conversation, By: 2}
}

func (c *simConversation) message(seq int) wire.Message {
	return wire.Message{Conversation: c.id, Seq: int64(seq), Rev: c.seqs[seq-1], ID: 1, Sender: 2, ClientID: simClientID}
}

func (s *simulation) setMember(c *simConversation, member bool) {
	s.changes++
	c.rev++
	c.member, c.joined, c.changed = member, s.changes, s.changes
	if member {
		s.push(c, wire.ConversationFrame{T: "conversation", Conversation: conversation(c.id, c.rev).Conversation, By: 2})
		return
	}
	s.deliver(wire.Removed{T: "removed", Conversation: c.id, Rev: c.rev})
}

// push sends a frame to the device, if the user may have it.
func (s *simulation) push(c *simConversation, frame any) {
	if c.member {
		s.deliver(frame)
	}
}

// deliver sends a frame over the bus and the connection. The bus may lose it: the
// gateway knows soon, or nobody does. It may be overtaken.
func (s *simulation) deliver(frame any) {
	delay := time.Duration(0)
	if s.faulty {
		switch n := s.rand.IntN(20); {
		case n < 3: // the bus finds out
			s.afterOn(s.connection, time.Duration(s.rand.Int64N(int64(simGap))), func() { s.toDevice(wire.Resync{T: "resync"}) })
			return
		case n < 6: // the gateway's check finds out
			return
		case n < 9:
			delay = time.Duration(s.rand.IntN(500)) * time.Millisecond
		}
	}
	s.afterOn(s.connection, delay, func() { s.toDevice(frame) })
}

// toDevice sends a frame over the connection, behind those before it.
func (s *simulation) toDevice(frame any) {
	raw, err := json.Marshal(frame)
	if err != nil {
		panic(err)
	}
	s.downlink = later(s.downlink, s.now.Add(s.latency()))
	connection := s.connection
	s.at(s.downlink, func() {
		if s.connection == connection {
			s.receive(raw)
		}
	})
}

// toServer is the same the other way.
func (s *simulation) toServer(handle func()) {
	s.uplink = later(s.uplink, s.now.Add(s.latency()))
	connection := s.connection
	s.at(s.uplink, func() {
		if s.connection == connection {
			handle()
		}
	})
}

func (s *simulation) latency() time.Duration { return time.Duration(s.rand.Int64N(int64(simLatency))) }

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// connect opens a connection.
func (s *simulation) connect() {
	s.connections++
	s.connection = s.connections
	s.uplink, s.downlink, s.ticks = s.now, s.now, time.Time{}
	s.send(s.device.Connected(s.now, 1, ""))
	s.ping()
}

func (s *simulation) cut() {
	if s.connection == 0 {
		return
	}
	s.connection = 0
	s.after(time.Duration(s.rand.IntN(1000))*time.Millisecond, s.connect)
}

// ping sends a heartbeat. The server looks whether anything changed since its
// cursor.
func (s *simulation) ping() {
	cursor := s.device.Cursor()
	s.toServer(func() {
		if cursor == "" || s.faulty && s.rand.IntN(3) == 0 {
			return
		}
		position := parsePosition(cursor)
		if slices.ContainsFunc(s.conversations, func(c *simConversation) bool { return c.position() > position }) {
			s.toDevice(wire.Resync{T: "resync", Lost: s.faulty && s.rand.IntN(2) == 0})
		}
	})
	s.afterOn(s.connection, simHeartbeat, s.ping)
}

// position is the number of the last change that concerns the user.
func (c *simConversation) position() int64 {
	if !c.member {
		return c.joined
	}
	return max(c.joined, c.changed)
}

func parsePosition(cursor string) int64 {
	n, _ := strconv.ParseInt(cursor, 10, 64)
	return n
}

// send sends the device's requests.
func (s *simulation) send(frames []wire.Sync) {
	for _, f := range frames {
		s.toServer(func() { s.answer(f) })
	}
	s.schedule()
}

// schedule calls the machine when it wants to be.
func (s *simulation) schedule() {
	due := s.device.Due()
	if due.IsZero() || !s.ticks.IsZero() && !due.Before(s.ticks) {
		return
	}
	s.ticks = later(due, s.now)
	s.afterOn(s.connection, s.ticks.Sub(s.now), func() {
		s.ticks = time.Time{}
		s.send(s.device.Tick(s.now))
	})
}

// answer answers a request, after a while, or refuses it.
func (s *simulation) answer(f wire.Sync) {
	if s.faulty && s.rand.IntN(5) == 0 {
		s.toDevice(wire.ErrorFrame{T: "error", ID: f.ID, Code: string(chat.CodeUnavailable), RetryAfterMS: int64(s.rand.IntN(1500))})
		return
	}
	if f.Conversation == 0 {
		s.toDevice(s.list(f))
		return
	}
	c := s.conversations[f.Conversation-1]
	if !c.member {
		s.toDevice(wire.ErrorFrame{T: "error", ID: f.ID, Code: string(chat.CodeNotFound)})
		return
	}
	s.toDevice(c.page(f))
}

func (s *simulation) list(f wire.Sync) wire.Synced {
	position := parsePosition(f.Cursor)
	changed := slices.DeleteFunc(slices.Clone(s.conversations), func(c *simConversation) bool {
		return c.position() <= position || f.Cursor == "" && !c.member
	})
	slices.SortFunc(changed, func(a, b *simConversation) int { return int(a.position() - b.position()) })
	out := wire.Synced{T: "synced", ID: f.ID, More: len(changed) > simPage}
	for _, c := range changed[:min(len(changed), simPage)] {
		position = c.position()
		if c.member {
			out.Conversations = append(out.Conversations, conversation(c.id, c.rev))
		} else {
			out.Gone = append(out.Gone, c.id)
		}
	}
	out.Cursor = strconv.FormatInt(position, 10)
	return out
}

func (c *simConversation) page(f wire.Sync) wire.Changes {
	out := wire.Changes{T: "changes", ID: f.ID, Conversation: c.id, Rev: c.rev}
	for i, rev := range c.seqs {
		if rev > f.Rev {
			out.Messages = append(out.Messages, c.message(i+1))
		}
	}
	slices.SortFunc(out.Messages, func(a, b wire.Message) int { return int(a.Rev - b.Rev) })
	if out.More = len(out.Messages) > simPage; out.More {
		out.Messages = out.Messages[:simPage]
		out.Rev = out.Messages[simPage-1].Rev
	}
	return out
}

// receive hands a frame to the device.
func (s *simulation) receive(raw []byte) {
	var head struct{ T string }
	if err := json.Unmarshal(raw, &head); err != nil {
		panic(err)
	}
	before := s.device.Conversations()
	out := s.device.Handle(s.now, head.T, raw)
	for _, id := range before { // what was left is shown no longer
		if !s.device.Has(id) {
			delete(s.shown, id)
		}
	}
	for i := range out.Messages {
		m := &out.Messages[i]
		if s.shown[m.Conversation] == nil {
			s.shown[m.Conversation] = map[int64]int64{}
		}
		for rev := range maps.Values(s.shown[m.Conversation]) {
			if rev >= m.Rev {
				s.fail("conversation %d: change %d is shown after %d", m.Conversation, m.Rev, rev)
			}
		}
		s.shown[m.Conversation][m.Seq] = m.Rev
	}
	s.send(out.Send)
}

func (s *simulation) after(d time.Duration, do func()) { s.at(s.now.Add(d), do) }

// afterOn does something unless the connection has ended by then.
func (s *simulation) afterOn(connection int, d time.Duration, do func()) {
	if connection == 0 {
		return
	}
	s.after(d, func() {
		if s.connection == connection {
			do()
		}
	})
}

func (s *simulation) at(at time.Time, do func()) {
	s.order++
	heap.Push(&s.events, &event{at: at, order: s.order, do: do})
}

type event struct {
	at    time.Time
	order int
	do    func()
}

type events []*event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	if e[i].at.Equal(e[j].at) {
		return e[i].order < e[j].order
	}
	return e[i].at.Before(e[j].at)
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(*event)) }
func (e *events) Pop() any {
	old := *e
	last := old[len(old)-1]
	*e = old[:len(old)-1]
	return last
}
