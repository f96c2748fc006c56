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

// Password is the password of all accounts.
const Password = "correct horse battery"

var userCount atomic.Int64

// Register creates an account with a unique name.
func (s *System) Register(t *testing.T) *client.Client {
	t.Helper()
	c, err := client.New(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Register(t.Context(), fmt.Sprintf("user%d", userCount.Add(1)), Password, s.SetupToken()); err != nil {
		t.Fatal(err)
	}
	return c
}

// Traffic is users who send all the time, each with two devices: all together, in
// groups of three, and to one another. It records everything that they receive.
type Traffic struct {
	t       *testing.T
	system  *System
	clients []*client.Client
	rooms   []chat.ConversationID
	members map[chat.ConversationID][]int
	devices []*device

	stop    context.CancelFunc
	senders sync.WaitGroup
	sent    [users]atomic.Int64

	mu           sync.Mutex
	queued       map[chat.ClientID]time.Time // when each message was sent
	accepted     map[chat.ClientID]*syncclient.Outgoing
	failed       []string
	lastAccepted [users]time.Time
	acceptedUpTo [users]wire.Millis // when the last of them was sent
	silence      time.Duration      // see Silence
}

// device is a client and what it received in each conversation, in order.
type device struct {
	*syncclient.Client
	user     int
	me       chat.UserID
	mu       sync.Mutex
	received map[chat.ConversationID][]wire.Message
}

const (
	users        = 6
	sendInterval = 20 * time.Millisecond // between two messages of one user
	// maxPending is how many messages of one user may be unanswered: users stop
	// sending when nothing is delivered, and when the machine is slow.
	maxPending = 200
)

// StartTraffic starts the traffic; Verify ends it.
func (s *System) StartTraffic(t *testing.T) *Traffic {
	t.Helper()
	return s.StartTrafficEvery(t, sendInterval)
}

// StartTrafficEvery starts traffic with an interval between two messages of one
// user.
func (s *System) StartTrafficEvery(t *testing.T, interval time.Duration) *Traffic {
	t.Helper()
	tr := &Traffic{
		t: t, system: s, members: map[chat.ConversationID][]int{}, queued: map[chat.ClientID]time.Time{}, accepted: map[chat.ClientID]*syncclient.Outgoing{},
	}
	for range users {
		tr.clients = append(tr.clients, s.Register(t))
	}
	everyone := make([]int, users)
	for i := range everyone {
		everyone[i] = i
	}
	tr.createRoom(everyone...)
	for i := range users {
		tr.createRoom(i, (i+1)%users, (i+2)%users)
	}
	for i := range users {
		tr.createDirect(i, (i+1)%users)
	}
	for i, c := range tr.clients {
		for range 2 {
			tr.addDevice(i, c)
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
		tr.senders.Go(func() { tr.send(ctx, i, interval) })
	}
	tr.AwaitDelivery()
	return tr
}

func (tr *Traffic) createRoom(members ...int) {
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

func (tr *Traffic) createDirect(one, other int) {
	tr.t.Helper()
	d, err := tr.clients[one].CreateDirect(tr.t.Context(), tr.clients[other].Me().ID)
	if err != nil {
		tr.t.Fatal(err)
	}
	tr.rooms = append(tr.rooms, d.ID)
	tr.members[d.ID] = []int{one, other}
}

func (tr *Traffic) addDevice(user int, c *client.Client) {
	w := &device{user: user, me: c.Me().ID, received: map[chat.ConversationID][]wire.Message{}}
	var err error
	w.Client, err = syncclient.Start(c, syncclient.Config{
		FromStart: true,
		OnMessage: func(m wire.Message) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.received[m.Conversation] = append(w.received[m.Conversation], m)
		},
		OnAccepted: func(m *syncclient.Outgoing) {
			tr.mu.Lock()
			defer tr.mu.Unlock()
			tr.accepted[m.ID] = m
			now := time.Now()
			if last := tr.lastAccepted[user]; !last.IsZero() {
				tr.silence = max(tr.silence, now.Sub(last))
			}
			tr.lastAccepted[user] = now
			tr.acceptedUpTo[user] = max(tr.acceptedUpTo[user], wire.MillisOf(m.ID.Time()))
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

// send sends from the user's first device, one message after the other in all
// of the user's rooms. Bodies are numbers, so that the order can be checked.
func (tr *Traffic) send(ctx context.Context, user int, interval time.Duration) {
	w := tr.devices[2*user]
	var rooms []chat.ConversationID
	for _, id := range tr.rooms {
		if slices.Contains(tr.members[id], user) {
			rooms = append(rooms, id)
		}
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if w.Pending() < maxPending {
			m := w.Send(rooms[n%len(rooms)], fmt.Sprintf("%d %d", user, n))
			tr.mu.Lock()
			tr.queued[m.ID] = m.QueuedAt
			tr.mu.Unlock()
			tr.sent[user].Add(1)
		}
	}
}

// SendMore waits until every user has sent a random number of messages more,
// and until messages are delivered. So faults happen under load, at a random
// point in time.
func (tr *Traffic) SendMore() {
	tr.t.Helper()
	tr.AwaitSent(15 + rand.N(20))
	tr.AwaitDelivery()
}

// AwaitSent waits until every user has sent n more messages, answered or not. n
// must be less than maxPending.
func (tr *Traffic) AwaitSent(n int) {
	tr.t.Helper()
	var enough [users]int64 // all count from now, not each from the end of another's wait
	for i := range tr.sent {
		enough[i] = tr.sent[i].Load() + int64(n)
	}
	for i := range tr.sent {
		eventually.True(tr.t, fmt.Sprintf("user %d goes on sending", i), func() bool {
			return tr.sent[i].Load() >= enough[i] || tr.devices[2*i].Pending() >= maxPending
		})
	}
}

// Acceptance returns how many messages were sent in a time, and the longest that one
// of them was without an answer; those that have none count until now.
func (tr *Traffic) Acceptance(from, to time.Time) (sent int, longest time.Duration) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	now := time.Now()
	for id, at := range tr.queued {
		if at.Before(from) || at.After(to) {
			continue
		}
		answered := now
		if m := tr.accepted[id]; m != nil {
			answered = m.AcceptedAt
		}
		sent++
		longest = max(longest, answered.Sub(at))
	}
	return sent, longest
}

// AwaitDelivery waits until messages are delivered: for each user, one that was
// sent after the call has reached the user's other device. It returns how long
// that took.
func (tr *Traffic) AwaitDelivery() time.Duration {
	tr.t.Helper()
	began := time.Now()
	before := wire.MillisOf(began)
	eventually.Nil(tr.t, "messages are delivered to everybody", func() error {
		for n := 1; n < len(tr.devices); n += 2 {
			if !tr.devices[n].receivedOwn(before) {
				return fmt.Errorf("not to user %d", n/2)
			}
		}
		return nil
	})
	return time.Since(began)
}

// AwaitAccepted waits until, of each user, a message is accepted that was sent
// after the call. It may not be delivered yet.
func (tr *Traffic) AwaitAccepted() {
	tr.t.Helper()
	before := wire.MillisOf(time.Now())
	eventually.Nil(tr.t, "messages of everybody are accepted", func() error {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		for user, upTo := range tr.acceptedUpTo {
			if upTo <= before {
				return fmt.Errorf("not of user %d", user)
			}
		}
		return nil
	})
}

// Silence returns for how long a user had nothing accepted, at most, since the last
// call. All of them send all the time.
func (tr *Traffic) Silence() (longest time.Duration) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	longest, tr.silence = tr.silence, 0
	for _, last := range tr.lastAccepted {
		longest = max(longest, time.Since(last))
	}
	return longest
}

// receivedOwn reports whether a message was received that the user sent after a
// time.
func (w *device) receivedOwn(after wire.Millis) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, seen := range w.received {
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

// StopSending ends the traffic, and waits until everything sent has an answer.
func (tr *Traffic) StopSending() {
	tr.t.Helper()
	tr.stop()
	tr.senders.Wait()
	for _, w := range tr.devices {
		eventually.Nil(tr.t, "the last answers", func() error {
			if n := w.Pending(); n > 0 {
				return fmt.Errorf("%d messages have none", n)
			}
			return nil
		})
	}
}

// Verify ends the traffic and checks the guarantees: everything that was
// accepted is stored (G1), once (G2), in one order without gaps that keeps each
// sender's order (G3), and every device has received exactly that (G4).
func (tr *Traffic) Verify() {
	t := tr.t
	t.Helper()
	tr.StopSending()
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
					return fmt.Errorf("%q was accepted at %s and is not in the history of %d messages", m.Body, m.AcceptedAt.Format(time.TimeOnly), len(h))
				}
			}
			history = h
			return nil
		})
		if err := tr.checkOrder(history, stored); err != nil {
			t.Fatalf("conversation %s: %v", id, err)
		}
		for n, w := range tr.devices {
			if !slices.Contains(tr.members[id], w.user) {
				continue
			}
			eventually.Nil(t, fmt.Sprintf("device %d sees all", n), func() error { return w.matches(id, history) })
		}
	}
	t.Logf("%d messages accepted and stored, each seen by all devices", len(stored))
}

// checkOrder checks a history on its own.
func (tr *Traffic) checkOrder(history []wire.Message, stored map[chat.ClientID]bool) error {
	last := map[chat.UserID]int{}
	for i, m := range history {
		if m.Seq != int64(i+1) {
			return fmt.Errorf("the message at place %d has seq %d", i+1, m.Seq)
		}
		if stored[m.ClientID] {
			return fmt.Errorf("seq %d is stored twice", m.Seq)
		}
		stored[m.ClientID] = true
		var user, n int
		if _, err := fmt.Sscan(m.Body, &user, &n); err != nil {
			return fmt.Errorf("seq %d is %q: %w", m.Seq, m.Body, err)
		}
		if before, ok := last[m.Sender]; ok && n < before {
			return fmt.Errorf("seq %d: %d of user %d comes after %d", m.Seq, n, user, before)
		}
		last[m.Sender] = n
	}
	return nil
}

var errUnstored = errors.New("it has received more than is stored")

func (w *device) matches(id chat.ConversationID, history []wire.Message) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := w.received[id]
	for i, m := range seen {
		switch {
		case i >= len(history):
			return errUnstored
		case m.Seq != history[i].Seq || m.Body != history[i].Body:
			return fmt.Errorf("its message %d is seq %d %q, not seq %d %q", i+1, m.Seq, m.Body, history[i].Seq, history[i].Body)
		}
	}
	if len(seen) < len(history) {
		return fmt.Errorf("it has received %d of %d", len(seen), len(history))
	}
	return nil
}
