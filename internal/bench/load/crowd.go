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
	site   target.Site
	plan   target.Plan
	ledger *audit.Audit
	began  time.Time
	people []*person
	turns  []Turn
	body   int // bytes of each text
	filler []byte

	now   atomic.Pointer[recording]
	heard atomic.Int64 // answers and receipts
	open  atomic.Int64 // connections
	ended atomic.Int64 // connections that ended though nobody wished it
	first atomic.Pointer[error]
}

// Turn is that a person says something in a conversation.
type Turn struct{ Person, Room int }

// person is one of the crowd, with one connection.
type person struct {
	crowd *VirtualUsers
	index int
	place map[int]int // of their device among those of a room
	text  []byte

	mu   sync.Mutex
	conn target.Conn // nil while they are away
}

// Options say how a crowd talks. Zero values mean the defaults.
type Options struct {
	Body int // bytes of each text; default 120
}

// Gather prepares the people of a plan. Nobody is connected yet.
func Gather(ctx context.Context, t target.Target, plan target.Plan, o Options) (*VirtualUsers, error) {
	if o.Body == 0 {
		o.Body = 120
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
		site: site, plan: plan, ledger: audit.New(plan.People, rooms), began: time.Now(), body: o.Body,
		people: make([]*person, plan.People), turns: everyone(plan), filler: bytes.Repeat([]byte("x"), o.Body),
	}
	for i := range c.people {
		c.people[i] = &person{crowd: c, index: i, place: map[int]int{}}
	}
	for room, members := range plan.Rooms {
		for place, member := range members {
			c.people[member].place[room] = place
		}
	}
	return c, nil
}

// everyone has each person speak once in each of their conversations: first all
// of them in one, then all in another.
func everyone(plan target.Plan) (turns []Turn) {
	rooms := make([][]int, plan.People)
	for room, members := range plan.Rooms {
		for _, member := range members {
			rooms[member] = append(rooms[member], room)
		}
	}
	for round, found := 0, true; found; round++ {
		found = false
		for person, in := range rooms {
			if round < len(in) {
				turns, found = append(turns, Turn{person, in[round]}), true
			}
		}
	}
	return turns
}

// Version is what the system says of itself.
func (c *VirtualUsers) Version() string { return c.site.Version() }

// Ended is how many connections have ended though nobody wished it.
func (c *VirtualUsers) Ended() int64 { return c.ended.Load() }

// Acts are what people can do besides talking.
func (c *VirtualUsers) Acts() []target.Act {
	if actor, ok := c.site.(target.Actor); ok {
		return actor.Acts()
	}
	return nil
}

// closeAtOnce is how many connections are closed side by side.
const closeAtOnce = 64

// Close ends all connections.
func (c *VirtualUsers) Close() {
	c.part(c.Everyone(), target.Conn.Close)
}

// part takes people's connections away and ends them, several side by side. It
// returns when nothing more comes by them.
func (c *VirtualUsers) part(people []int, end func(target.Conn)) {
	var ending errgroup.Group
	ending.SetLimit(closeAtOnce)
	for _, index := range people {
		if conn := c.people[index].take(); conn != nil {
			ending.Go(func() error {
				end(conn)
				return nil
			})
		}
	}
	_ = ending.Wait()
}

// take takes a person's connection away.
func (p *person) take() target.Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	conn := p.conn
	p.conn = nil
	return conn
}

func (p *person) connection() target.Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.conn
}

// audience is how many devices receive what is said in a room: each member's,
// who has one, the sender's own among them where the system echoes.
func (c *VirtualUsers) audience(room int) int64 {
	n := int64(len(c.plan.Rooms[room]))
	if !c.site.Echoes(room) {
		n--
	}
	return n
}

func (c *VirtualUsers) elapsed() time.Duration { return time.Since(c.began) }

// say sends the next message of a person.
func (p *person) say(conn target.Conn, room int, due time.Duration, r *recording) error {
	k := p.crowd.ledger.Send(p.index, room, due)
	r.sent.Add(1)
	r.expected.Add(p.crowd.audience(room))
	r.audience.Add(p.crowd.audience(room))
	t := strconv.AppendInt(p.text[:0], int64(k.Person), 10)
	t = append(t, '.')
	t = strconv.AppendInt(t, int64(k.N), 10)
	t = append(t, ' ')
	if n := p.crowd.body - len(t); n > 0 {
		t = append(t, p.crowd.filler[:n]...)
	}
	p.text = t
	return conn.Send(room, k.N, t)
}

// keyOf reads whose message a text is. A text of another kind is nobody's.
func keyOf(text []byte) audit.Key {
	none := audit.Key{Person: -1}
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
	return audit.Key{Person: person, N: n}
}

// fates are what answers mean to the ledger.
var fates = [...]audit.State{target.Accepted: audit.Accepted, target.Refused: audit.Refused, target.Failed: audit.Failed}

// Answered implements [target.Listener].
func (p *person) Answered(n int, a target.Answer) {
	f, ok := p.crowd.ledger.Answer(audit.Key{Person: p.index, N: n}, fates[a.Kind])
	p.crowd.heard.Add(1)
	r := p.crowd.now.Load()
	if !ok || !r.ours(f.Due) {
		return
	}
	switch a.Kind {
	case target.Accepted:
		r.accepted.Add(1)
		r.answered(f.Due, p.crowd.elapsed())
		return
	case target.Refused:
		r.refused.Add(1)
	case target.Failed:
		r.failed.Add(1)
	}
	// What has come of it was waited for; the rest is so no longer.
	r.expected.Add(int64(f.Heard) - p.crowd.audience(f.Room))
}

// Received implements [target.Listener].
func (p *person) Received(room int, seq int64, text []byte) {
	p.crowd.heard.Add(1)
	at, in := p.place[room]
	if !in {
		p.crowd.ledger.Leak(p.index, room, keyOf(text))
		return
	}
	got, ok := p.crowd.ledger.Receive(room, at, keyOf(text), seq)
	if r := p.crowd.now.Load(); ok && got.Counts && r.ours(got.Due) {
		r.received(got.Due, p.crowd.elapsed(), got.Last)
	}
}

// Ended implements [target.Listener].
func (p *person) Ended(err error) {
	p.crowd.open.Add(-1)
	if err == nil {
		return
	}
	err = fmt.Errorf("the connection of person %d ended: %w", p.index, err)
	p.crowd.first.CompareAndSwap(nil, &err)
	p.crowd.ended.Add(1)
}

// Check judges the whole run, every conversation's history included. It waits
// until nothing has come for a while, so that what is late, or comes again, is
// seen, and then ends all connections.
func (c *VirtualUsers) Check(ctx context.Context) (*audit.Verdict, error) {
	c.hush(ctx)
	c.Close()
	v, err := c.ledger.Check(func(room int) ([]audit.Stored, error) {
		all, err := c.site.History(ctx, room)
		if all == nil || err != nil {
			return nil, err
		}
		out := make([]audit.Stored, len(all))
		for i, m := range all {
			out[i] = audit.Stored{Key: keyOf([]byte(m.Text)), Seq: m.Seq}
		}
		return out, nil
	})
	if err != nil {
		return nil, err
	}
	if n := c.ended.Load(); n > 0 {
		v.Offenders = append(v.Offenders, fmt.Sprintf("%d connections ended, the first: %v", n, *c.first.Load()))
	}
	if r, ok := c.site.(target.Repairer); ok {
		v.Repaired = r.Repaired()
	}
	return v, nil
}

const (
	// quiet is how long nothing may have come for all to be over.
	quiet = time.Second
	// patience is how long to wait for that.
	patience = 30 * time.Second
)

// hush waits until nothing comes any more.
func (c *VirtualUsers) hush(ctx context.Context) {
	for until := c.elapsed() + patience; c.elapsed() < until && ctx.Err() == nil; {
		before := c.heard.Load()
		sleep(ctx, quiet)
		if c.heard.Load() == before {
			return
		}
	}
}

// errAway is that nobody is there who could speak.
var errAway = errors.New("nobody is connected who could say something")
