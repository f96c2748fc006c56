// Package audit keeps account of every message of a run: what was sent, how it
// was answered, which devices received it and what is stored. Whether the
// promises were kept is found out afterwards, by [Ledger.Check], from what was
// written down; while the run goes on nothing is judged.
package audit

import (
	"fmt"
	"sync"
	"time"
)

// Key names a message of a run: who sent it, and the how manieth of theirs it
// is, from 0.
type Key struct {
	User int
	N    int
}

func (k Key) String() string { return fmt.Sprintf("message %d of person %d", k.N, k.User) }

// State is what the sender knows of a message.
type State uint8

// The states.
const (
	Unanswered State = iota
	Accepted         // it is promised to be kept
	Refused          // it is promised nothing; it may have been kept all the same
	Failed           // it was accepted, and its sender was told that it could not be kept
)

// Audit is the account of a run. Its methods may be called concurrently, but
// those of one person's sends, and those of one device's receipts, only one at
// a time, as they happen.
type Audit struct {
	users []user
	rooms []room

	mu    sync.Mutex
	leaks []leak
}

// leak is a message that came to somebody who is not in its conversation.
type leak struct {
	user, room int
	key        Key
}

type user struct {
	mu   sync.Mutex
	sent []message
}

type message struct {
	due        time.Duration
	room       int32
	received   int32  // devices that have received it
	receivedBy uint32 // they, in a room of few
	state      State
}

// room is a conversation with its members' devices.
type room struct {
	name    string
	devices []device
	noEcho  bool
}

// device is one member's, in one conversation.
type device struct {
	user     int
	mu       sync.Mutex
	received []arrival
}

// arrival is a message that a device received.
type arrival struct {
	user, n int32
	seq     int64
}

// Room is a conversation of a run: its name for people, and the persons whose
// devices receive what is said in it. A person who is in it with several
// devices is named as often.
type Room struct {
	Name    string
	Devices []int
	NoEcho  bool // a sender's own devices do not receive what they say
}

// New makes an empty account of so many people in rooms.
func New(people int, rooms []Room) *Audit {
	l := &Audit{users: make([]user, people), rooms: make([]room, len(rooms))}
	for i, r := range rooms {
		l.rooms[i] = room{name: r.Name, devices: make([]device, len(r.Devices)), noEcho: r.NoEcho}
		for d, person := range r.Devices {
			l.rooms[i].devices[d].user = person
		}
	}
	return l
}

// RecordSend writes down the next message of a person, before it is sent. due is when
// it should be sent, counted from the run's beginning.
func (l *Audit) RecordSend(person, room int, due time.Duration) Key {
	p := &l.users[person]
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent = append(p.sent, message{due: due, room: int32(room)})
	return Key{User: person, N: len(p.sent) - 1}
}

// MessageState is what is known of a message that was answered.
type MessageState struct {
	Room     int
	Due      time.Duration
	Received int // devices that have received it already
}

// RecordAnswer writes down what became of a message. It is not ok for a message that
// was never sent.
func (l *Audit) RecordAnswer(k Key, s State) (f MessageState, ok bool) {
	p, ok := l.user(k)
	if !ok {
		return f, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if k.N >= len(p.sent) {
		return f, false
	}
	m := &p.sent[k.N]
	m.state = s
	return MessageState{Room: int(m.room), Due: m.due, Received: int(m.received)}, true
}

// Receipt is what is known of a message that was received.
type Receipt struct {
	Due time.Duration
	// Expected is whether it was waited for: the device had not received it
	// before, and it was not refused.
	Expected bool
	// Last is whether all devices have it now.
	Last bool
}

// smallRoom is how many devices a room can have for each receipt of each message to be
// kept; in larger ones a device looks through its last few.
const smallRoom = 32

// RecordReceipt writes down that a device received a message, and the seq that it came
// with (0 for a system that gives none). It is not ok for a message that was
// never sent to this room, or that comes back to its sender where nothing does;
// that is written down too.
func (l *Audit) RecordReceipt(room, at int, k Key, seq int64) (r Receipt, ok bool) {
	in := &l.rooms[room]
	d := &in.devices[at]
	d.mu.Lock()
	again := len(in.devices) > smallRoom && d.receivedRecently(k)
	d.received = append(d.received, arrival{user: int32(k.User), n: int32(k.N), seq: seq})
	d.mu.Unlock()
	p, ok := l.user(k)
	if !ok || !in.receives(d, k) {
		return r, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if k.N >= len(p.sent) || int(p.sent[k.N].room) != room {
		return r, false
	}
	m := &p.sent[k.N]
	r.Due = m.due
	if len(in.devices) <= smallRoom {
		again = m.receivedBy&(1<<at) != 0
		m.receivedBy |= 1 << at
	}
	if !again {
		m.received++
		r.Expected = m.state != Refused && m.state != Failed
		r.Last = int(m.received) == in.recipients()
	}
	return r, true
}

// receivedRecently tells whether a message is among the last that the device received.
// d.mu is held.
func (d *device) receivedRecently(k Key) bool {
	for _, a := range d.received[max(0, len(d.received)-smallRoom):] {
		if int(a.user) == k.User && int(a.n) == k.N {
			return true
		}
	}
	return false
}

// RecordLeak writes down that a person received a message of a room that they are not
// in.
func (l *Audit) RecordLeak(person, room int, k Key) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leaks = append(l.leaks, leak{person, room, k})
}

// Outstanding tells of every message that was due from a moment on and is not
// refused, and of which something has not come: how many devices do not have it,
// and whether it has no answer.
func (l *Audit) Outstanding(from time.Duration, tell func(due time.Duration, devices int, unanswered bool)) {
	for i := range l.users {
		p := &l.users[i]
		p.mu.Lock()
		for n := len(p.sent) - 1; n >= 0 && p.sent[n].due >= from; n-- {
			m := &p.sent[n]
			missing := l.rooms[m.room].recipients() - int(m.received)
			if m.state == Refused || m.state == Failed {
				continue
			}
			if missing > 0 || m.state == Unanswered {
				tell(m.due, missing, m.state == Unanswered)
			}
		}
		p.mu.Unlock()
	}
}

// recipients is how many devices receive a message, of people with one device.
func (r *room) recipients() int {
	if r.noEcho {
		return len(r.devices) - 1
	}
	return len(r.devices)
}

// receives tells whether a device receives a message of the room.
func (r *room) receives(d *device, k Key) bool { return !r.noEcho || d.user != k.User }

func (l *Audit) user(k Key) (*user, bool) {
	if k.User < 0 || k.User >= len(l.users) || k.N < 0 {
		return nil, false
	}
	return &l.users[k.User], true
}
