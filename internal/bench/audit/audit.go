// Package audit records every message of a run: what was sent, how it was
// answered, which devices received it and what is stored. [Audit.Check] finds
// afterwards whether the delivery guarantees were kept; nothing is checked
// while the run goes on.
package audit

import (
	"fmt"
	"sync"
	"time"
)

// Key identifies a message of a run by its sender and the sender's message
// number, from 0.
type Key struct {
	User int
	N    int
}

func (k Key) String() string { return fmt.Sprintf("message %d of person %d", k.N, k.User) }

// State is the state of a message as its sender knows it.
type State uint8

// The states.
const (
	Unanswered State = iota
	Accepted         // the system promised to keep it
	Refused          // nothing is promised; it may have been kept nevertheless
	Failed           // it was accepted, and later the sender was told that it could not be kept
)

// Audit is the record of a run. Its methods may be called concurrently, except
// that the sends of one user, and the receipts of one device, must be recorded
// one at a time, in order.
type Audit struct {
	users []user
	rooms []room

	mu    sync.Mutex
	leaks []leak
}

// leak is a message that a user received who is not in its room.
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
	receivedBy uint32 // bit set of these devices, in a small room
	state      State
}

// room is a conversation and its members' devices.
type room struct {
	name    string
	devices []device
	noEcho  bool
}

// device is a member's device in one conversation.
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

// Room is a conversation of a run: its display name, and the users whose
// devices receive its messages. A user with several devices in it is listed
// once for each.
type Room struct {
	Name    string
	Devices []int
	NoEcho  bool // senders do not receive their own messages
}

// New returns an empty audit of a number of users in rooms.
func New(users int, rooms []Room) *Audit {
	a := &Audit{users: make([]user, users), rooms: make([]room, len(rooms))}
	for i, r := range rooms {
		a.rooms[i] = room{name: r.Name, devices: make([]device, len(r.Devices)), noEcho: r.NoEcho}
		for d, user := range r.Devices {
			a.rooms[i].devices[d].user = user
		}
	}
	return a
}

// RecordSend records the next message of a user, before it is sent. due is when
// it should be sent, from the start of the run.
func (a *Audit) RecordSend(user, room int, due time.Duration) Key {
	p := &a.users[user]
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent = append(p.sent, message{due: due, room: int32(room)})
	return Key{User: user, N: len(p.sent) - 1}
}

// MessageState is what is known of a message that was answered.
type MessageState struct {
	Room     int
	Due      time.Duration
	Received int // devices that have received it already
}

// RecordAnswer records the answer to a message. It returns false for a message
// that was never sent.
func (a *Audit) RecordAnswer(k Key, s State) (f MessageState, ok bool) {
	p, ok := a.user(k)
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
	// Expected is whether the receipt counts: the device had not received the
	// message before, and it was not refused.
	Expected bool
	// Last is whether all devices have received the message now.
	Last bool
}

// smallRoom is the largest number of devices of a room for which each message
// keeps who received it. In larger rooms a device searches its last receipts.
const smallRoom = 32

// RecordReceipt records that a device received a message, and the seq that came
// with it (0 for a system that has none). It returns false for a message that
// was never sent to this room, and for one that comes back to its sender in a
// room without echo; those are recorded too.
func (a *Audit) RecordReceipt(room, at int, k Key, seq int64) (r Receipt, ok bool) {
	in := &a.rooms[room]
	d := &in.devices[at]
	d.mu.Lock()
	duplicate := len(in.devices) > smallRoom && d.receivedRecently(k)
	d.received = append(d.received, arrival{user: int32(k.User), n: int32(k.N), seq: seq})
	d.mu.Unlock()
	p, ok := a.user(k)
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
		duplicate = m.receivedBy&(1<<at) != 0
		m.receivedBy |= 1 << at
	}
	if !duplicate {
		m.received++
		r.Expected = m.state != Refused && m.state != Failed
		r.Last = int(m.received) == in.recipients()
	}
	return r, true
}

// receivedRecently reports whether a message is among the last that the device
// received. d.mu must be held.
func (d *device) receivedRecently(k Key) bool {
	for _, a := range d.received[max(0, len(d.received)-smallRoom):] {
		if int(a.user) == k.User && int(a.n) == k.N {
			return true
		}
	}
	return false
}

// RecordLeak records that a user received a message of a room that the user is
// not in.
func (a *Audit) RecordLeak(user, room int, k Key) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.leaks = append(a.leaks, leak{user, room, k})
}

// Outstanding calls f for every message that was due at from or later, was not
// refused, and is not complete: with the number of devices that have not
// received it, and whether it has no answer.
func (a *Audit) Outstanding(from time.Duration, f func(due time.Duration, devices int, unanswered bool)) {
	for i := range a.users {
		p := &a.users[i]
		p.mu.Lock()
		for n := len(p.sent) - 1; n >= 0 && p.sent[n].due >= from; n-- {
			m := &p.sent[n]
			missing := a.rooms[m.room].recipients() - int(m.received)
			if m.state == Refused || m.state == Failed {
				continue
			}
			if missing > 0 || m.state == Unanswered {
				f(m.due, missing, m.state == Unanswered)
			}
		}
		p.mu.Unlock()
	}
}

// recipients returns how many devices receive a message, if each user has one.
func (r *room) recipients() int {
	if r.noEcho {
		return len(r.devices) - 1
	}
	return len(r.devices)
}

// receives reports whether a device should receive a message of the room.
func (r *room) receives(d *device, k Key) bool { return !r.noEcho || d.user != k.User }

func (a *Audit) user(k Key) (*user, bool) {
	if k.User < 0 || k.User >= len(a.users) || k.N < 0 {
		return nil, false
	}
	return &a.users[k.User], true
}
