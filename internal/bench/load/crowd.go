package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/hikyaku-chat/hikyaku/internal/bench/ledger"
	"github.com/hikyaku-chat/hikyaku/internal/bench/target"
)

// Crowd is people who are connected and ready to talk.
type Crowd struct {
	site   target.Site
	plan   target.Plan
	ledger *ledger.Ledger
	began  time.Time
	people []*person
	body   int // bytes of each text
	filler []byte

	now   atomic.Pointer[recording]
	ended atomic.Int64 // connections that ended though nobody wished it
	first atomic.Pointer[error]
}

// person is one of the crowd, with one connection.
type person struct {
	crowd *Crowd
	index int
	conn  target.Conn
	rooms []int       // that they are in
	place map[int]int // of their device among those of a room
	turn  int
	text  []byte
}

// Options say how a crowd talks. Zero values mean the defaults.
type Options struct {
	Body   int // bytes of each text; default 120
	AtOnce int // connections opened side by side; default 64
}

// Gather prepares the people of a plan and connects them.
func Gather(ctx context.Context, t target.Target, plan target.Plan, o Options) (*Crowd, error) {
	if o.Body == 0 {
		o.Body = 120
	}
	if o.AtOnce == 0 {
		o.AtOnce = 64
	}
	site, err := t.Prepare(ctx, plan)
	if err != nil {
		return nil, err
	}
	rooms := make([]ledger.Room, len(plan.Rooms))
	for i, members := range plan.Rooms {
		rooms[i] = ledger.Room{Name: fmt.Sprintf("conversation %d", i), Devices: members, NoEcho: !site.Echoes(i)}
	}
	c := &Crowd{
		site: site, plan: plan, ledger: ledger.New(plan.People, rooms), began: time.Now(), body: o.Body,
		people: make([]*person, plan.People), filler: bytes.Repeat([]byte("x"), o.Body),
	}
	for i := range c.people {
		c.people[i] = &person{crowd: c, index: i, place: map[int]int{}}
	}
	for room, members := range plan.Rooms {
		for place, member := range members {
			p := c.people[member]
			p.rooms = append(p.rooms, room)
			p.place[room] = place
		}
	}
	var connecting errgroup.Group
	connecting.SetLimit(o.AtOnce)
	for _, p := range c.people {
		connecting.Go(func() (err error) {
			if p.conn, err = site.Connect(ctx, p.index, p); err != nil {
				return fmt.Errorf("connect person %d: %w", p.index, err)
			}
			return nil
		})
	}
	if err := connecting.Wait(); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Version is what the system says of itself.
func (c *Crowd) Version() string { return c.site.Version() }

// Close ends all connections.
func (c *Crowd) Close() {
	for _, p := range c.people {
		if p.conn != nil {
			p.conn.Close()
		}
	}
}

// audience is how many devices receive what is said in a room: each member's,
// who has one, the sender's own among them where the system echoes.
func (c *Crowd) audience(room int) int64 {
	n := int64(len(c.plan.Rooms[room]))
	if !c.site.Echoes(room) {
		n--
	}
	return n
}

func (c *Crowd) elapsed() time.Duration { return time.Since(c.began) }

// say sends the next message of a person, who speaks in their conversations in
// turn.
func (p *person) say(due time.Duration, r *recording) error {
	room := p.rooms[p.turn%len(p.rooms)]
	p.turn++
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
	return p.conn.Send(room, k.N, t)
}

// keyOf reads whose message a text is. A text of another kind is nobody's.
func keyOf(text []byte) ledger.Key {
	none := ledger.Key{Person: -1}
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
	return ledger.Key{Person: person, N: n}
}

// fates are what answers mean to the ledger.
var fates = [...]ledger.State{target.Accepted: ledger.Accepted, target.Refused: ledger.Refused, target.Failed: ledger.Failed}

// Answered implements [target.Listener].
func (p *person) Answered(n int, a target.Answer) {
	room, due, ok := p.crowd.ledger.Answer(ledger.Key{Person: p.index, N: n}, fates[a.Kind])
	r := p.crowd.now.Load()
	if !ok || !r.ours(due) {
		return
	}
	switch a.Kind {
	case target.Accepted:
		r.accepted.Add(1)
		r.answered(due, p.crowd.elapsed())
	case target.Refused:
		r.refused.Add(1)
		r.expected.Add(-p.crowd.audience(room))
	case target.Failed:
		r.failed.Add(1)
		r.expected.Add(-p.crowd.audience(room))
	}
}

// Received implements [target.Listener].
func (p *person) Received(room int, seq int64, text []byte) {
	due, ok := p.crowd.ledger.Receive(room, p.place[room], keyOf(text), seq)
	if r := p.crowd.now.Load(); ok && r.ours(due) {
		r.received(due, p.crowd.elapsed())
	}
}

// Ended implements [target.Listener].
func (p *person) Ended(err error) {
	if err == nil {
		return
	}
	err = fmt.Errorf("the connection of person %d ended: %w", p.index, err)
	p.crowd.first.CompareAndSwap(nil, &err)
	p.crowd.ended.Add(1)
}

// Check judges the whole run, every conversation's history included.
func (c *Crowd) Check(ctx context.Context) (*ledger.Verdict, error) {
	v, err := c.ledger.Check(func(room int) ([]ledger.Stored, error) {
		all, err := c.site.History(ctx, room)
		if err != nil || all == nil {
			return nil, err
		}
		out := make([]ledger.Stored, len(all))
		for i, m := range all {
			out[i] = ledger.Stored{Key: keyOf([]byte(m.Text)), Seq: m.Seq}
		}
		return out, nil
	})
	if n := c.ended.Load(); n > 0 && err == nil {
		v.Offenders = append(v.Offenders, fmt.Sprintf("%d connections ended, the first: %v", n, *c.first.Load()))
	}
	return v, err
}

// errEnded is why a stretch is given up.
var errEnded = errors.New("a connection ended in the middle of the run")
