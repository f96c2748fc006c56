// Package faulty is a chat system, in memory, that breaks its word on purpose:
// what the load tool must find out.
package faulty

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/bench/target"
)

// System is how the system behaves. Its zero value is a perfect one that takes
// no time. What is a function is called for each message, with its place among
// all that were sent, from 0; a nil one does nothing.
type System struct {
	// Delay is how long a message takes from its sending to its receipts.
	Delay func(n int) time.Duration
	// Stall is how long a sender is held up: the network takes nothing.
	Stall func(n int) time.Duration
	// PerSecond is how many messages it handles in a second, one after the
	// other; 0 means any number.
	PerSecond float64
	// Early accepts a message before it is handled, as a queue does.
	Early bool
	// Late is how long after it has delivered a message it accepts it.
	Late time.Duration
	// Refuse answers that a message is not taken.
	Refuse func(n int) bool
	// Lose, Double and Swap are done to the receipts of one device: a message
	// never comes, comes twice, or comes after the next one.
	Lose, Double, Swap func(n int) bool
	// Forget leaves a message out of the history.
	Forget func(n int) bool
	// Hang never answers and never delivers.
	Hang func(n int) bool
	// Skip leaves out a message that a person missed when they come back, and
	// Again tells one that they had.
	Skip, Again bool
	// Away refuses the connection with this number, from 0.
	Away func(n int) bool
	// Act is how long everything takes that people do besides talking.
	Act time.Duration
	// Quiet does not give senders their own messages; Parrot does so for some
	// all the same.
	Quiet  bool
	Parrot func(n int) bool
	// Mute cannot tell what it has stored.
	Mute bool
}

// Name implements [target.Target].
func (s *System) Name() string { return "faulty" }

// Prepare implements [target.Target].
func (s *System) Prepare(_ context.Context, p target.Plan) (target.Site, error) {
	site := &site{system: s, plan: p, listeners: make([]target.Listener, p.People), rooms: make([]room, len(p.Rooms))}
	for i := range site.rooms {
		site.rooms[i].heard = map[int]int{}
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
	free      time.Time // when a system of limited speed is done with all so far
}

type room struct {
	history []target.Message
	heard   map[int]int // how much of it each person was told of
	held    []byte      // at the second device, because of Swap
	heldSeq int64
}

func (s *site) Version() string { return "1" }

func (s *site) Echoes(int) bool { return !s.system.Quiet }

func (s *site) History(_ context.Context, room int) ([]target.Message, error) {
	if s.system.Mute {
		return nil, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]target.Message{}, s.rooms[room].history...), nil
}

func (s *site) Connect(_ context.Context, person int, on target.Listener) (target.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dials++
	if does(s.system.Away, s.dials-1) {
		return nil, errors.New("nobody answers")
	}
	s.listeners[person] = on
	return &conn{site: s, person: person}, nil
}

// Return implements [target.Returner].
func (s *site) Return(ctx context.Context, person int, on target.Listener) (target.Conn, error) {
	c, err := s.Connect(ctx, person, on)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for number, members := range s.plan.Rooms {
		r := &s.rooms[number]
		if !slices.Contains(members, person) {
			continue
		}
		from := r.heard[person]
		if s.system.Again {
			from = max(0, from-1)
		}
		if s.system.Skip {
			from = min(from+1, len(r.history))
		}
		for _, m := range r.history[from:] {
			on.Received(number, m.Seq, []byte(m.Text))
		}
		r.heard[person] = len(r.history)
	}
	return c, nil
}

// Acts implements [target.Actor].
func (s *site) Acts() []target.Act {
	return []target.Act{{Name: "look around", Do: func(context.Context, int, int) error {
		time.Sleep(s.system.Act)
		return nil
	}}}
}

type conn struct {
	site   *site
	person int
}

func (c *conn) Close() { c.Cut() }

func (c *conn) Cut() {
	c.site.mu.Lock()
	on := c.site.listeners[c.person]
	c.site.listeners[c.person] = nil
	c.site.mu.Unlock()
	if on != nil {
		on.Ended(nil)
	}
}

func does(f func(int) bool, n int) bool { return f != nil && f(n) }

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
		if now := time.Now(); s.free.Before(now) {
			s.free = now
		}
		s.free = s.free.Add(time.Duration(float64(time.Second) / s.system.PerSecond))
		delay += time.Until(s.free)
		s.mu.Unlock()
	}
	if s.system.Early {
		s.answer(c.person, n, target.Answer{Kind: target.Accepted})
	}
	text = append([]byte(nil), text...)
	handle := func() { s.handle(c.person, room, n, number, text) }
	if delay > 0 {
		time.AfterFunc(delay, handle)
	} else {
		handle()
	}
	return nil
}

func (s *site) answer(person, n int, a target.Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tell(person, n, a)
}

// tell answers; s.mu is held.
func (s *site) tell(person, n int, a target.Answer) {
	if on := s.listeners[person]; on != nil {
		on.Answered(n, a)
	}
}

// handle stores a message, answers, and delivers it.
func (s *site) handle(person, number, n, place int, text []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case does(s.system.Hang, place):
		return
	case does(s.system.Refuse, place):
		s.tell(person, n, target.Answer{Kind: target.Refused, Text: "overloaded"})
		return
	}
	r := &s.rooms[number]
	seq := int64(len(r.history) + 1)
	if !does(s.system.Forget, place) {
		r.history = append(r.history, target.Message{Seq: seq, Text: string(text)})
	}
	switch {
	case s.system.Late > 0:
		time.AfterFunc(s.system.Late, func() { s.answer(person, n, target.Answer{Kind: target.Accepted}) })
	case !s.system.Early:
		s.tell(person, n, target.Answer{Kind: target.Accepted})
	}
	for i, member := range s.plan.Rooms[number] {
		on := s.listeners[member]
		if on == nil {
			continue
		}
		r.heard[member] = len(r.history)
		if member == person && s.system.Quiet && !does(s.system.Parrot, place) {
			continue
		}
		if i != 1 { // the others are served well
			on.Received(number, seq, text)
			continue
		}
		switch {
		case does(s.system.Lose, place):
		case does(s.system.Swap, place):
			r.held, r.heldSeq = text, seq
			continue
		default:
			on.Received(number, seq, text)
		}
		if does(s.system.Double, place) {
			on.Received(number, seq, text)
		}
		if r.held != nil {
			on.Received(number, r.heldSeq, r.held)
			r.held = nil
		}
	}
}
