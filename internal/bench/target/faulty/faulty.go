// Package faulty is an in-memory chat system that breaks its guarantees on
// purpose: what the load tool must find.
package faulty

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/bench/target"
)

// System configures the behavior. Its zero value is perfect and takes no time.
// The functions are called for each message, with its position among all that
// were sent, from 0; a nil one does nothing.
type System struct {
	// Delay is the time from sending a message to its receipts.
	Delay func(n int) time.Duration
	// Stall is how long a sender is blocked: the network accepts nothing.
	Stall func(n int) time.Duration
	// PerSecond is how many messages it handles in a second, one after the
	// other; 0 means no limit.
	PerSecond float64
	// AcceptEarly accepts a message before it is handled, as a queue does.
	AcceptEarly bool
	// AcceptDelay is how long after delivering a message it accepts it.
	AcceptDelay time.Duration
	// Refuse refuses a message.
	Refuse func(n int) bool
	// Lose, Duplicate and Reorder apply to the receipts of one device: a
	// message never arrives, arrives twice, or arrives after the next one.
	Lose, Duplicate, Reorder func(n int) bool
	// Forget leaves a message out of the history.
	Forget func(n int) bool
	// Hang never answers and never delivers.
	Hang func(n int) bool
	// SkipMissed leaves out a message that a user missed when they reconnect,
	// and RepeatReceived repeats one that they have received.
	SkipMissed, RepeatReceived bool
	// RefuseConnection refuses the connection with this number, from 0.
	RefuseConnection func(n int) bool
	// ActionDelay is how long each action takes.
	ActionDelay time.Duration
	// NoEcho does not send senders their own messages; EchoAnyway does so for
	// some.
	NoEcho     bool
	EchoAnyway func(n int) bool
	// NoHistory cannot return what is stored.
	NoHistory bool
}

// Name implements [target.Target].
func (s *System) Name() string { return "faulty" }

// Prepare implements [target.Target].
func (s *System) Prepare(_ context.Context, p target.Plan) (target.Site, error) {
	site := &site{system: s, plan: p, listeners: make([]target.Listener, p.Users), rooms: make([]room, len(p.Rooms))}
	for i := range site.rooms {
		site.rooms[i].received = map[int]int{}
	}
	return site, nil
}

type site struct {
	system *System
	plan   target.Plan

	mu        sync.Mutex
	listeners []target.Listener // nil for who is away
	dials     int
	sent      int
	rooms     []room
	idleFrom  time.Time // when a system of limited speed is done with all so far
}

type room struct {
	history    []target.Message
	received   map[int]int // by user: how much of the history was delivered
	delayed    []byte      // at the second device, because of Swap
	delayedSeq int64
}

func (s *site) Version() string { return "1" }

func (s *site) Echoes(int) bool { return !s.system.NoEcho }

func (s *site) History(_ context.Context, room int) ([]target.Message, error) {
	if s.system.NoHistory {
		return nil, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]target.Message{}, s.rooms[room].history...), nil
}

func (s *site) Connect(_ context.Context, user int, on target.Listener) (target.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dials++
	if applies(s.system.RefuseConnection, s.dials-1) {
		return nil, errors.New("nobody answers")
	}
	s.listeners[user] = on
	return &conn{site: s, user: user}, nil
}

// Reconnect implements [target.Reconnecter].
func (s *site) Reconnect(ctx context.Context, user int, on target.Listener) (target.Conn, error) {
	c, err := s.Connect(ctx, user, on)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for number, members := range s.plan.Rooms {
		r := &s.rooms[number]
		if !slices.Contains(members, user) {
			continue
		}
		from := r.received[user]
		if s.system.RepeatReceived {
			from = max(0, from-1)
		}
		if s.system.SkipMissed {
			from = min(from+1, len(r.history))
		}
		for _, m := range r.history[from:] {
			on.Received(number, m.Seq, []byte(m.Text))
		}
		r.received[user] = len(r.history)
	}
	return c, nil
}

// Actions implements [target.ActionSite].
func (s *site) Actions() []target.Action {
	return []target.Action{{Name: "look around", Do: func(context.Context, int, int) error {
		time.Sleep(s.system.ActionDelay)
		return nil
	}}}
}

type conn struct {
	site *site
	user int
}

func (c *conn) Close() { c.Disconnect() }

func (c *conn) Disconnect() {
	c.site.mu.Lock()
	on := c.site.listeners[c.user]
	c.site.listeners[c.user] = nil
	c.site.mu.Unlock()
	if on != nil {
		on.Ended(nil)
	}
}

func applies(f func(int) bool, n int) bool { return f != nil && f(n) }

func (c *conn) Send(room, n int, text []byte) error {
	s := c.site
	s.mu.Lock()
	number := s.sent
	s.sent++
	s.mu.Unlock()
	if s.system.Stall != nil {
		time.Sleep(s.system.Stall(number))
	}
	delay := time.Duration(0)
	if s.system.Delay != nil {
		delay = s.system.Delay(number)
	}
	if s.system.PerSecond > 0 {
		s.mu.Lock()
		if now := time.Now(); s.idleFrom.Before(now) {
			s.idleFrom = now
		}
		s.idleFrom = s.idleFrom.Add(time.Duration(float64(time.Second) / s.system.PerSecond))
		delay += time.Until(s.idleFrom)
		s.mu.Unlock()
	}
	if s.system.AcceptEarly {
		s.answer(c.user, n, target.Answer{Kind: target.Accepted})
	}
	text = append([]byte(nil), text...)
	handle := func() { s.handle(c.user, room, n, number, text) }
	if delay > 0 {
		time.AfterFunc(delay, handle)
	} else {
		handle()
	}
	return nil
}

func (s *site) answer(user, n int, a target.Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answerLocked(user, n, a)
}

// answerLocked answers; s.mu is held.
func (s *site) answerLocked(user, n int, a target.Answer) {
	if on := s.listeners[user]; on != nil {
		on.Answered(n, a)
	}
}

// handle stores a message, answers, and delivers it.
func (s *site) handle(user, number, n, place int, text []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case applies(s.system.Hang, place):
		return
	case applies(s.system.Refuse, place):
		s.answerLocked(user, n, target.Answer{Kind: target.Refused, Text: "overloaded"})
		return
	}
	r := &s.rooms[number]
	seq := int64(len(r.history) + 1)
	if !applies(s.system.Forget, place) {
		r.history = append(r.history, target.Message{Seq: seq, Text: string(text)})
	}
	switch {
	case s.system.AcceptDelay > 0:
		time.AfterFunc(s.system.AcceptDelay, func() { s.answer(user, n, target.Answer{Kind: target.Accepted}) })
	case !s.system.AcceptEarly:
		s.answerLocked(user, n, target.Answer{Kind: target.Accepted})
	}
	for i, member := range s.plan.Rooms[number] {
		on := s.listeners[member]
		if on == nil {
			continue
		}
		r.received[member] = len(r.history)
		if member == user && s.system.NoEcho && !applies(s.system.EchoAnyway, place) {
			continue
		}
		if i != 1 { // the others are served well
			on.Received(number, seq, text)
			continue
		}
		switch {
		case applies(s.system.Lose, place):
		case applies(s.system.Reorder, place):
			r.delayed, r.delayedSeq = text, seq
			continue
		default:
			on.Received(number, seq, text)
		}
		if applies(s.system.Duplicate, place) {
			on.Received(number, seq, text)
		}
		if r.delayed != nil {
			on.Received(number, r.delayedSeq, r.delayed)
			r.delayed = nil
		}
	}
}
