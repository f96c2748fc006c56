package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/hikyaku-chat/hikyaku/internal/bench/audit"
	"github.com/hikyaku-chat/hikyaku/internal/bench/target"
)

// VirtualUsers is people who talk in conversations. Only one of Connect, Talk, Return
// and Check may be called at a time; Cut, and Return of others, at any time.
type VirtualUsers struct {
	site     target.Site
	plan     target.Plan
	audit    *audit.Audit
	start    time.Time
	users    []*virtualUser
	senders  []Sender
	bodySize int // bytes of each text
	filler   []byte

	current        atomic.Pointer[recording]
	events         atomic.Int64 // answers and receipts
	connected      atomic.Int64 // connections
	unexpectedEnds atomic.Int64 // connections that ended though nobody wished it
	firstEnd       atomic.Pointer[error]
}

// Sender is that a person says something in a conversation.
type Sender struct{ User, Room int }

// virtualUser is one of the crowd, with one connection.
type virtualUser struct {
	users       *VirtualUsers
	index       int
	deviceIndex map[int]int // of their device among those of a room
	text        []byte

	mu   sync.Mutex
	conn target.Conn // nil while they are away
}

// Options say how a crowd talks. Zero values mean the defaults.
type Options struct {
	BodySize int // bytes of each text; default 120
}

// Prepare prepares the people of a plan. Nobody is connected yet.
func Prepare(ctx context.Context, t target.Target, plan target.Plan, o Options) (*VirtualUsers, error) {
	if o.BodySize == 0 {
		o.BodySize = 120
	}
	site, err := t.Prepare(ctx, plan)
	if err != nil {
		return nil, err
	}
	rooms := make([]audit.Room, len(plan.Rooms))
	for i, members := range plan.Rooms {
		rooms[i] = audit.Room{Name: fmt.Sprintf("conversation %d", i), Devices: members, NoEcho: !site.Echoes(i)}
	}
	c := &VirtualUsers{
		site: site, plan: plan, audit: audit.New(plan.Users, rooms), start: time.Now(), bodySize: o.BodySize,
		users: make([]*virtualUser, plan.Users), senders: allSenders(plan), filler: bytes.Repeat([]byte("x"), o.BodySize),
	}
	for i := range c.users {
		c.users[i] = &virtualUser{users: c, index: i, deviceIndex: map[int]int{}}
	}
	for room, members := range plan.Rooms {
		for place, member := range members {
			c.users[member].deviceIndex[room] = place
		}
	}
	return c, nil
}

// allSenders has each person speak once in each of their conversations: first all
// of them in one, then all in another.
func allSenders(plan target.Plan) (turns []Sender) {
	rooms := make([][]int, plan.Users)
	for room, members := range plan.Rooms {
		for _, member := range members {
			rooms[member] = append(rooms[member], room)
		}
	}
	for round, found := 0, true; found; round++ {
		found = false
		for person, in := range rooms {
			if round < len(in) {
				turns, found = append(turns, Sender{person, in[round]}), true
			}
		}
	}
	return turns
}

// Version is what the system says of itself.
func (c *VirtualUsers) Version() string { return c.site.Version() }

// Ended is how many connections have ended though nobody wished it.
func (c *VirtualUsers) Ended() int64 { return c.unexpectedEnds.Load() }

// Actions are what people can do besides talking.
func (c *VirtualUsers) Actions() []target.Action {
	if actor, ok := c.site.(target.ActionSite); ok {
		return actor.Acts()
	}
	return nil
}

// closeConcurrency is how many connections are closed side by side.
const closeConcurrency = 64

// Close ends all connections.
func (c *VirtualUsers) Close() {
	c.disconnect(c.All(), target.Conn.Close)
}

// disconnect takes people's connections away and ends them, several side by side. It
// returns when nothing more comes by them.
func (c *VirtualUsers) disconnect(people []int, end func(target.Conn)) {
	var ending errgroup.Group
	ending.SetLimit(closeConcurrency)
	for _, index := range people {
		if conn := c.users[index].takeConn(); conn != nil {
			ending.Go(func() error {
				end(conn)
				return nil
			})
		}
	}
	_ = ending.Wait()
}

// takeConn takes a person's connection away.
func (p *virtualUser) takeConn() target.Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	conn := p.conn
	p.conn = nil
	return conn
}

func (p *virtualUser) currentConn() target.Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.conn
}

// recipients is how many devices receive what is said in a room: each member's,
// who has one, the sender's own among them where the system echoes.
func (c *VirtualUsers) recipients(room int) int64 {
	n := int64(len(c.plan.Rooms[room]))
	if !c.site.Echoes(room) {
		n--
	}
	return n
}

func (c *VirtualUsers) elapsed() time.Duration { return time.Since(c.start) }

// send sends the next message of a person.
func (p *virtualUser) send(conn target.Conn, room int, due time.Duration, r *recording) error {
	k := p.users.audit.RecordSend(p.index, room, due)
	r.sent.Add(1)
	r.expected.Add(p.users.recipients(room))
	r.addressed.Add(p.users.recipients(room))
	t := strconv.AppendInt(p.text[:0], int64(k.User), 10)
	t = append(t, '.')
	t = strconv.AppendInt(t, int64(k.N), 10)
	t = append(t, ' ')
	if n := p.users.bodySize - len(t); n > 0 {
		t = append(t, p.users.filler[:n]...)
	}
	p.text = t
	return conn.Send(room, k.N, t)
}

// parseKey reads whose message a text is. A text of another kind is nobody's.
func parseKey(text []byte) audit.Key {
	none := audit.Key{User: -1}
	dot, space := bytes.IndexByte(text, '.'), bytes.IndexByte(text, ' ')
	if dot < 0 || space < dot {
		return none
	}
	person, err := strconv.Atoi(string(text[:dot]))
	if err != nil {
		return none
	}
	n, err := strconv.Atoi(string(text[dot+1 : space]))
	if err != nil {
		return none
	}
	return audit.Key{User: person, N: n}
}

// auditStates are what answers mean to the ledger.
var auditStates = [...]audit.State{target.Accepted: audit.Accepted, target.Refused: audit.Refused, target.Failed: audit.Failed}

// Answered implements [target.Listener].
func (p *virtualUser) Answered(n int, a target.Answer) {
	f, ok := p.users.audit.RecordAnswer(audit.Key{User: p.index, N: n}, auditStates[a.Kind])
	p.users.events.Add(1)
	r := p.users.current.Load()
	if !ok || !r.includes(f.Due) {
		return
	}
	switch a.Kind {
	case target.Accepted:
		r.accepted.Add(1)
		r.recordAnswer(f.Due, p.users.elapsed())
		return
	case target.Refused:
		r.refused.Add(1)
	case target.Failed:
		r.failed.Add(1)
	}
	// What has come of it was waited for; the rest is so no longer.
	r.expected.Add(int64(f.Received) - p.users.recipients(f.Room))
}

// Received implements [target.Listener].
func (p *virtualUser) Received(room int, seq int64, text []byte) {
	p.users.events.Add(1)
	at, in := p.deviceIndex[room]
	if !in {
		p.users.audit.RecordLeak(p.index, room, parseKey(text))
		return
	}
	got, ok := p.users.audit.RecordReceipt(room, at, parseKey(text), seq)
	if r := p.users.current.Load(); ok && got.Expected && r.includes(got.Due) {
		r.recordReceipt(got.Due, p.users.elapsed(), got.Last)
	}
}

// Ended implements [target.Listener].
func (p *virtualUser) Ended(err error) {
	p.users.connected.Add(-1)
	if err == nil {
		return
	}
	err = fmt.Errorf("the connection of person %d ended: %w", p.index, err)
	p.users.firstEnd.CompareAndSwap(nil, &err)
	p.users.unexpectedEnds.Add(1)
}

// Check judges the whole run, every conversation's history included. It waits
// until nothing has come for a while, so that what is late, or comes again, is
// seen, and then ends all connections.
func (c *VirtualUsers) Check(ctx context.Context) (*audit.Verdict, error) {
	c.waitUntilQuiet(ctx)
	c.Close()
	v, err := c.audit.Check(func(room int) ([]audit.Stored, error) {
		all, err := c.site.History(ctx, room)
		if all == nil || err != nil {
			return nil, err
		}
		out := make([]audit.Stored, len(all))
		for i, m := range all {
			out[i] = audit.Stored{Key: parseKey([]byte(m.Text)), Seq: m.Seq}
		}
		return out, nil
	})
	if err != nil {
		return nil, err
	}
	if n := c.unexpectedEnds.Load(); n > 0 {
		v.Violations = append(v.Violations, fmt.Sprintf("%d connections ended, the first: %v", n, *c.firstEnd.Load()))
	}
	if r, ok := c.site.(target.Repairer); ok {
		v.Repaired = r.Repaired()
	}
	return v, nil
}

const (
	// quiet is how long nothing may have come for all to be over.
	quietPeriod = time.Second
	// patience is how long to wait for that.
	quietTimeout = 30 * time.Second
)

// waitUntilQuiet waits until nothing comes any more.
func (c *VirtualUsers) waitUntilQuiet(ctx context.Context) {
	for until := c.elapsed() + quietTimeout; c.elapsed() < until && ctx.Err() == nil; {
		before := c.events.Load()
		sleep(ctx, quietPeriod)
		if c.events.Load() == before {
			return
		}
	}
}

// errNobodyConnected is that nobody is there who could speak.
var errNobodyConnected = errors.New("nobody is connected who could say something")
