// Package ledger keeps account of every message of a run: what was sent, how it
// was answered, which devices received it and what is stored. Whether the
// promises were kept is found out afterwards, by [Ledger.Check], from what was
// written down; while the run goes on nothing is judged.
package ledger

import (
	"fmt"
	"sync"
	"time"
)

// Key names a message of a run: who sent it, and the how manieth of theirs it
// is, from 0.
type Key struct {
	Person int
	N      int
}

func (k Key) String() string { return fmt.Sprintf("message %d of person %d", k.N, k.Person) }

// State is what the sender knows of a message.
type State uint8

// The states.
const (
	Unanswered State = iota
	Accepted         // it is promised to be kept
	Refused          // it is promised nothing; it may have been kept all the same
	Failed           // it was accepted, and its sender was told that it could not be kept
)

// Ledger is the account of a run. Its methods may be called concurrently, but
// those of one person's sends, and those of one device's receipts, only one at
// a time, as they happen.
type Ledger struct {
	people []person
	rooms  []room
}

type person struct {
	mu   sync.Mutex
	sent []message
}

type message struct {
	due   time.Duration
	room  int32
	heard int32 // receipts so far
	state State
}

// room is a conversation with its members' devices.
type room struct {
	name    string
	devices []device
	noEcho  bool
}

// device is one member's, in one conversation.
type device struct {
	person int
	mu     sync.Mutex
	heard  []arrival
}

// arrival is a message that a device received.
type arrival struct {
	person, n int32
	seq       int64
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
func New(people int, rooms []Room) *Ledger {
	l := &Ledger{people: make([]person, people), rooms: make([]room, len(rooms))}
	for i, r := range rooms {
		l.rooms[i] = room{name: r.Name, devices: make([]device, len(r.Devices)), noEcho: r.NoEcho}
		for d, person := range r.Devices {
			l.rooms[i].devices[d].person = person
		}
	}
	return l
}

// Send writes down the next message of a person, before it is sent. due is when
// it should be sent, counted from the run's beginning.
func (l *Ledger) Send(person, room int, due time.Duration) Key {
	p := &l.people[person]
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent = append(p.sent, message{due: due, room: int32(room)})
	return Key{Person: person, N: len(p.sent) - 1}
}

// Answer writes down what became of a message, and tells where and when it was
// due. It is not ok for a message that was never sent.
func (l *Ledger) Answer(k Key, s State) (room int, due time.Duration, ok bool) {
	p, ok := l.person(k)
	if !ok {
		return 0, 0, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if k.N >= len(p.sent) {
		return 0, 0, false
	}
	m := &p.sent[k.N]
	m.state = s
	return int(m.room), m.due, true
}

// Receive writes down that a device received a message, the seq that it came
// with (0 for a system that gives none), and tells when it was due, and whether
// this was the last of as many receipts as there are devices that should have it.
// It is not ok for a message that was never sent to this room, or that comes back
// to its sender where nothing does; that is written down too.
func (l *Ledger) Receive(room, at int, k Key, seq int64) (due time.Duration, last, ok bool) {
	d := &l.rooms[room].devices[at]
	d.mu.Lock()
	d.heard = append(d.heard, arrival{person: int32(k.Person), n: int32(k.N), seq: seq})
	d.mu.Unlock()
	p, ok := l.person(k)
	if !ok || !l.rooms[room].hears(d, k) {
		return 0, false, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if k.N >= len(p.sent) || int(p.sent[k.N].room) != room {
		return 0, false, false
	}
	m := &p.sent[k.N]
	m.heard++
	return m.due, int(m.heard) == l.rooms[room].audience(), true
}

// audience is how many devices receive a message, of people with one device.
func (r *room) audience() int {
	if r.noEcho {
		return len(r.devices) - 1
	}
	return len(r.devices)
}

// hears tells whether a device receives a message of the room.
func (r *room) hears(d *device, k Key) bool { return !r.noEcho || d.person != k.Person }

func (l *Ledger) person(k Key) (*person, bool) {
	if k.Person < 0 || k.Person >= len(l.people) || k.N < 0 {
		return nil, false
	}
	return &l.people[k.Person], true
}
