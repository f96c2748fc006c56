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

// VirtualUsers are users who send messages in conversations, each over one
// connection. Only one of Connect, RunPhase, Reconnect and Check may run at a
// time, except that Disconnect, and Reconnect of users who are not sending, may
// be called at any time.
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
	unexpectedEnds atomic.Int64 // connections that the load tool did not end
	firstEnd       atomic.Pointer[error]
}

// Sender is a user who sends in a room.
type Sender struct{ User, Room int }

// virtualUser is one user with one connection.
type virtualUser struct {
	users       *VirtualUsers
	index       int
	deviceIndex map[int]int // by room: the index of the user's device among the room's devices
	text        []byte

	mu   sync.Mutex
	conn target.Conn // nil while disconnected
}

// Prepare creates the accounts and conversations of a plan. Nobody is connected
// yet.
func Prepare(ctx context.Context, t target.Target, plan target.Plan, o Options) (*VirtualUsers, error) {
	o = o.WithDefaults()
	if err := o.Validate(); err != nil {
		return nil, err
	}
	site, err := t.Prepare(ctx, plan)
	if err != nil {
		return nil, err
	}
	rooms := make([]audit.Room, len(plan.Rooms))
	for i, members := range plan.Rooms {
		rooms[i] = audit.Room{Name: fmt.Sprintf("conversation %d", i), Devices: members, NoEcho: !site.Echoes(i)}
	}
	v := &VirtualUsers{
		site: site, plan: plan, audit: audit.New(plan.Users, rooms), start: time.Now(), bodySize: o.BodySize,
		users: make([]*virtualUser, plan.Users), senders: allSenders(plan), filler: bytes.Repeat([]byte("x"), o.BodySize),
	}
	for i := range v.users {
		v.users[i] = &virtualUser{users: v, index: i, deviceIndex: map[int]int{}}
	}
	for room, members := range plan.Rooms {
		for j, member := range members {
			v.users[member].deviceIndex[room] = j
		}
	}
	return v, nil
}

// allSenders returns every membership of the plan once: each user's first room,
// then each user's second one, and so on.
func allSenders(plan target.Plan) (senders []Sender) {
	rooms := make([][]int, plan.Users)
	for room, members := range plan.Rooms {
		for _, member := range members {
			rooms[member] = append(rooms[member], room)
		}
	}
	for round, found := 0, true; found; round++ {
		found = false
		for user, in := range rooms {
			if round < len(in) {
				senders, found = append(senders, Sender{user, in[round]}), true
			}
		}
	}
	return senders
}

// Version returns the version that the system reports.
func (v *VirtualUsers) Version() string { return v.site.Version() }

// Ended returns how many connections ended unexpectedly.
func (v *VirtualUsers) Ended() int64 { return v.unexpectedEnds.Load() }

// Actions returns what users can do besides sending messages.
func (v *VirtualUsers) Actions() []target.Action {
	if site, ok := v.site.(target.ActionSite); ok {
		return site.Actions()
	}
	return nil
}

// closeConcurrency is how many connections are closed concurrently.
const closeConcurrency = 64

// Close ends all connections, and waits for whatever served them.
func (v *VirtualUsers) Close() {
	v.disconnect(v.All(), target.Conn.Close)
	if site, ok := v.site.(target.Waiter); ok {
		site.Wait()
	}
}

// disconnect ends the connections of users with end, several concurrently. It
// returns when nothing more is received on them.
func (v *VirtualUsers) disconnect(users []int, end func(target.Conn)) {
	var ending errgroup.Group
	ending.SetLimit(closeConcurrency)
	for _, index := range users {
		if conn := v.users[index].takeConn(); conn != nil {
			ending.Go(func() error {
				end(conn)
				return nil
			})
		}
	}
	_ = ending.Wait()
}

// takeConn removes and returns the user's connection; nil without one.
func (u *virtualUser) takeConn() target.Conn {
	u.mu.Lock()
	defer u.mu.Unlock()
	conn := u.conn
	u.conn = nil
	return conn
}

func (u *virtualUser) currentConn() target.Conn {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.conn
}

// recipients returns how many devices receive a message in a room: one for each
// member, including the sender's own where the system echoes.
func (v *VirtualUsers) recipients(room int) int64 {
	n := int64(len(v.plan.Rooms[room]))
	if !v.site.Echoes(room) {
		n--
	}
	return n
}

func (v *VirtualUsers) elapsed() time.Duration { return time.Since(v.start) }

// send sends the user's next message.
func (u *virtualUser) send(conn target.Conn, room int, due time.Duration, r *recording) error {
	k := u.users.audit.RecordSend(u.index, room, due)
	r.sent.Add(1)
	r.expected.Add(u.users.recipients(room))
	r.addressed.Add(u.users.recipients(room))
	t := strconv.AppendInt(u.text[:0], int64(k.User), 10)
	t = append(t, '.')
	t = strconv.AppendInt(t, int64(k.N), 10)
	t = append(t, ' ')
	if n := u.users.bodySize - len(t); n > 0 {
		t = append(t, u.users.filler[:n]...)
	}
	u.text = t
	return conn.Send(room, k.N, t)
}

// parseKey reads the key from a message text. A text that is not the load
// tool's gets the user -1.
func parseKey(text []byte) audit.Key {
	none := audit.Key{User: -1}
	dot, space := bytes.IndexByte(text, '.'), bytes.IndexByte(text, ' ')
	if dot < 0 || space < dot {
		return none
	}
	user, err := strconv.Atoi(string(text[:dot]))
	if err != nil {
		return none
	}
	n, err := strconv.Atoi(string(text[dot+1 : space]))
	if err != nil {
		return none
	}
	return audit.Key{User: user, N: n}
}

// auditStates maps kinds of answers to states of the audit.
var auditStates = [...]audit.State{target.Accepted: audit.Accepted, target.Refused: audit.Refused, target.Failed: audit.Failed}

// Answered implements [target.Listener].
func (u *virtualUser) Answered(n int, a target.Answer) {
	f, ok := u.users.audit.RecordAnswer(audit.Key{User: u.index, N: n}, auditStates[a.Kind])
	u.users.events.Add(1)
	r := u.users.current.Load()
	if !ok || !r.includes(f.Due) {
		return
	}
	switch a.Kind {
	case target.Accepted:
		r.accepted.Add(1)
		r.recordAnswer(f.Due, u.users.elapsed())
		return
	case target.Refused:
		r.refused.Add(1)
	case target.Failed:
		r.failed.Add(1)
	}
	// Only the receipts that have already come stay expected.
	r.expected.Add(int64(f.Received) - u.users.recipients(f.Room))
}

// Received implements [target.Listener].
func (u *virtualUser) Received(room int, seq int64, text []byte) {
	u.users.events.Add(1)
	at, in := u.deviceIndex[room]
	if !in {
		u.users.audit.RecordLeak(u.index, room, parseKey(text))
		return
	}
	got, ok := u.users.audit.RecordReceipt(room, at, parseKey(text), seq)
	if r := u.users.current.Load(); ok && got.Expected && r.includes(got.Due) {
		r.recordReceipt(got.Due, u.users.elapsed(), got.Last)
	}
}

// Ended implements [target.Listener].
func (u *virtualUser) Ended(err error) {
	u.users.connected.Add(-1)
	if err == nil {
		return
	}
	err = fmt.Errorf("the connection of person %d ended: %w", u.index, err)
	u.users.firstEnd.CompareAndSwap(nil, &err)
	u.users.unexpectedEnds.Add(1)
}

// Check checks the whole run, including the history of every conversation. It
// first waits until nothing is received for a while, so that late and repeated
// messages are seen, and then ends all connections.
func (v *VirtualUsers) Check(ctx context.Context) (*audit.Verdict, error) {
	v.waitUntilQuiet(ctx)
	v.Close()
	verdict, err := v.audit.Check(func(room int) ([]audit.Stored, error) {
		all, err := v.site.History(ctx, room)
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
	if n := v.unexpectedEnds.Load(); n > 0 {
		verdict.Violations = append(verdict.Violations, fmt.Sprintf("%d connections ended, the first: %v", n, *v.firstEnd.Load()))
	}
	if r, ok := v.site.(target.Repairer); ok {
		verdict.Repaired = r.Repaired()
	}
	return verdict, nil
}

const (
	// quietPeriod is how long nothing may be received before the run counts as
	// over.
	quietPeriod = time.Second
	// quietTimeout bounds the wait for quietPeriod.
	quietTimeout = 30 * time.Second
)

// waitUntilQuiet waits until nothing is received any more.
func (v *VirtualUsers) waitUntilQuiet(ctx context.Context) {
	for until := v.elapsed() + quietTimeout; v.elapsed() < until && ctx.Err() == nil; {
		before := v.events.Load()
		sleep(ctx, quietPeriod)
		if v.events.Load() == before {
			return
		}
	}
}

// errNobodyConnected is returned when none of the senders is connected.
var errNobodyConnected = errors.New("none of the senders is connected")
