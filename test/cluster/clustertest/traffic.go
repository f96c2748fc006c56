package clustertest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/client"
	"github.com/hikyaku-chat/hikyaku/internal/eventually"
	"github.com/hikyaku-chat/hikyaku/internal/syncclient"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// Password is that of all accounts.
const Password = "correct horse battery"

var people atomic.Int64

// Register makes an account with a name of its own.
func (s *System) Register(t *testing.T) *client.Client {
	t.Helper()
	c, err := client.New(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Register(t.Context(), fmt.Sprintf("person%d", people.Add(1)), Password); err != nil {
		t.Fatal(err)
	}
	return c
}

// Traffic is people who talk all the time, each on two devices, in groups of
// three and all together, and an account of everything that they see.
type Traffic struct {
	t       *testing.T
	system  *System
	clients []*client.Client
	rooms   []chat.ConversationID
	members map[chat.ConversationID][]int
	devices []*watched

	stop    context.CancelFunc
	senders sync.WaitGroup
	sent    [persons]atomic.Int64

	mu       sync.Mutex
	accepted map[chat.ClientID]*syncclient.Outgoing
	failed   []string
}

// watched is a device and what it saw of each conversation, in order.
type watched struct {
	*syncclient.Client
	person int
	me     chat.UserID
	mu     sync.Mutex
	seen   map[chat.ConversationID][]wire.Message
}

const (
	persons = 6
	pace    = 20 * time.Millisecond // between two messages of one person
	// waiting is how many messages of one person wait for their answers at
	// most: people wait when nothing goes through, and when the machine is slow.
	waiting = 200
)

// Begin starts the traffic; Verify ends it.
func (s *System) Begin(t *testing.T) *Traffic {
	t.Helper()
	tr := &Traffic{t: t, system: s, members: map[chat.ConversationID][]int{}, accepted: map[chat.ClientID]*syncclient.Outgoing{}}
	for range persons {
		tr.clients = append(tr.clients, s.Register(t))
	}
	everyone := make([]int, persons)
	for i := range everyone {
		everyone[i] = i
	}
	tr.room(everyone...)
	for i := range persons {
		tr.room(i, (i+1)%persons, (i+2)%persons)
	}
	for i, c := range tr.clients {
		for range 2 {
			tr.watch(i, c)
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	tr.stop = stop
	t.Cleanup(func() {
		stop()
		tr.senders.Wait()
		for _, d := range tr.devices {
			d.Close()
		}
	})
	for i := range tr.clients {
		tr.senders.Go(func() { tr.talk(ctx, i) })
	}
	tr.Flows()
	return tr
}

func (tr *Traffic) room(members ...int) {
	tr.t.Helper()
	var others []chat.UserID
	for _, i := range members[1:] {
		others = append(others, tr.clients[i].Me().ID)
	}
	g, err := tr.clients[members[0]].CreateGroup(tr.t.Context(), fmt.Sprint("room of ", members), others...)
	if err != nil {
		tr.t.Fatal(err)
	}
	tr.rooms = append(tr.rooms, g.ID)
	tr.members[g.ID] = members
}

func (tr *Traffic) watch(person int, c *client.Client) {
	w := &watched{person: person, me: c.Me().ID, seen: map[chat.ConversationID][]wire.Message{}}
	var err error
	w.Client, err = syncclient.Start(c, syncclient.Config{
		FromStart: true,
		OnMessage: func(m wire.Message) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.seen[m.Conversation] = append(w.seen[m.Conversation], m)
		},
		OnAccepted: func(m *syncclient.Outgoing) {
			tr.mu.Lock()
			defer tr.mu.Unlock()
			tr.accepted[m.ID] = m
		},
		OnFailed: func(id chat.ClientID, code chat.Code, text string) {
			tr.mu.Lock()
			defer tr.mu.Unlock()
			tr.failed = append(tr.failed, fmt.Sprintf("%s: %s (%s)", id, code, text))
		},
	})
	if err != nil {
		tr.t.Fatal(err)
	}
	tr.devices = append(tr.devices, w)
}

// talk sends on, from the person's first device, one message after the other
// in all of their rooms. Bodies are numbers, so that their order shows.
func (tr *Traffic) talk(ctx context.Context, person int) {
	w := tr.devices[2*person]
	var rooms []chat.ConversationID
	for _, id := range tr.rooms {
		if slices.Contains(tr.members[id], person) {
			rooms = append(rooms, id)
		}
	}
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if w.Waiting() < waiting {
			w.Send(rooms[n%len(rooms)], fmt.Sprintf("%d %d", person, n))
			tr.sent[person].Add(1)
		}
	}
}

// While lets everybody send some more, and that go all the way: faults must meet
// a system at work, at a moment that nobody chose.
func (tr *Traffic) While() {
	tr.t.Helper()
	tr.Talk(15 + rand.N(20))
	tr.Flows()
}

// Talk waits until everybody has sent n more messages, be they answered or not.
// n is less than how many may wait.
func (tr *Traffic) Talk(n int) {
	tr.t.Helper()
	for i := range tr.sent {
		most := tr.sent[i].Load() + int64(n)
		eventually.True(tr.t, fmt.Sprintf("person %d goes on sending", i), func() bool {
			return tr.sent[i].Load() >= most || tr.devices[2*i].Waiting() >= waiting
		})
	}
}

// Flows waits until messages go all the way: for each person, one that was sent
// after now has reached the person's other device.
func (tr *Traffic) Flows() {
	tr.t.Helper()
	before := wire.MillisOf(time.Now())
	eventually.Nil(tr.t, "messages go through for everybody", func() error {
		for n := 1; n < len(tr.devices); n += 2 {
			if !tr.devices[n].heardItself(before) {
				return fmt.Errorf("not for person %d", n/2)
			}
		}
		return nil
	})
}

// heardItself reports whether a message of the person came that was sent, and so
// named, after a time.
func (w *watched) heardItself(after wire.Millis) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, seen := range w.seen {
		for _, m := range slices.Backward(seen) {
			if m.Sender == w.me && wire.MillisOf(m.ClientID.Time()) > after {
				return true
			}
			if m.At < after {
				break
			}
		}
	}
	return false
}

// Verify ends the traffic and checks the promises: everything that was
// accepted is stored (G1), once (G2), in one order without a hole that keeps
// each sender's (G3), and every device has seen exactly that (G4).
func (tr *Traffic) Verify() {
	t := tr.t
	t.Helper()
	tr.stop()
	tr.senders.Wait()
	for _, w := range tr.devices {
		eventually.Nil(t, "the last answers", func() error {
			if n := w.Waiting(); n > 0 {
				return fmt.Errorf("%d messages have none", n)
			}
			return nil
		})
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if len(tr.failed) > 0 {
		t.Fatalf("%d messages were refused for good, the first is %s", len(tr.failed), tr.failed[0])
	}
	stored := map[chat.ClientID]bool{}
	for _, id := range tr.rooms {
		// What was accepted may still be in the queue.
		var history []wire.Message
		eventually.Nil(t, "everything is stored", func() error {
			h, err := tr.clients[tr.members[id][0]].History(t.Context(), id)
			if err != nil {
				return err
			}
			have := map[chat.ClientID]bool{}
			for _, m := range h {
				have[m.ClientID] = true
			}
			for _, m := range tr.accepted {
				if m.Conversation == id && !have[m.ID] {
					return fmt.Errorf("%q was accepted at %s and is not in the history of %d messages", m.Body, m.Accepted.Format(time.TimeOnly), len(h))
				}
			}
			history = h
			return nil
		})
		if err := tr.inOrder(history, stored); err != nil {
			t.Fatalf("conversation %s: %v", id, err)
		}
		for n, w := range tr.devices {
			if !slices.Contains(tr.members[id], w.person) {
				continue
			}
			eventually.Nil(t, fmt.Sprintf("device %d sees all", n), func() error { return w.saw(id, history) })
		}
	}
	t.Logf("%d messages accepted and stored, each seen by all devices", len(stored))
}

// inOrder checks a history by itself.
func (tr *Traffic) inOrder(history []wire.Message, stored map[chat.ClientID]bool) error {
	last := map[chat.UserID]int{}
	for i, m := range history {
		if m.Seq != int64(i+1) {
			return fmt.Errorf("the message at place %d has seq %d", i+1, m.Seq)
		}
		if stored[m.ClientID] {
			return fmt.Errorf("seq %d is stored twice", m.Seq)
		}
		stored[m.ClientID] = true
		var person, n int
		if _, err := fmt.Sscan(m.Body, &person, &n); err != nil {
			return fmt.Errorf("seq %d is %q: %w", m.Seq, m.Body, err)
		}
		if before, ok := last[m.Sender]; ok && n < before {
			return fmt.Errorf("seq %d: %d of person %d comes after %d", m.Seq, n, person, before)
		}
		last[m.Sender] = n
	}
	return nil
}

var errMore = errors.New("it has seen more than is stored")

func (w *watched) saw(id chat.ConversationID, history []wire.Message) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := w.seen[id]
	for i, m := range seen {
		switch {
		case i >= len(history):
			return errMore
		case m.Seq != history[i].Seq || m.Body != history[i].Body:
			return fmt.Errorf("its message %d is seq %d %q, not seq %d %q", i+1, m.Seq, m.Body, history[i].Seq, history[i].Body)
		}
	}
	if len(seen) < len(history) {
		return fmt.Errorf("it has seen %d of %d", len(seen), len(history))
	}
	return nil
}
