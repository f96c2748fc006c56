// Package pubsubtest is the conformance suite of the bus port: every backend runs
// it, against its real server.
package pubsubtest

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/eventually"
	"github.com/hikyaku-chat/hikyaku/internal/pubsub"
)

// Harness is what a backend provides.
type Harness struct {
	// Open returns a bus with channels of its own, which queues about queue
	// envelopes for a slow node. The suite closes it.
	Open func(t *testing.T, queue int) pubsub.Bus
}

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	t.Run("every field arrives", func(t *testing.T) { testFields(t, h) })
	t.Run("order per publisher", func(t *testing.T) { testOrder(t, h) })
	t.Run("broadcast reaches all nodes", func(t *testing.T) { testBroadcast(t, h) })
	t.Run("a large envelope", func(t *testing.T) { testLargeEnvelope(t, h) })
	t.Run("a slow node is notified of its gap and does not block others", func(t *testing.T) { testGap(t, h) })
	t.Run("after cancel nothing is delivered", func(t *testing.T) { testCancel(t, h) })
}

// recorder is a subscriber that records what it receives.
type recorder struct {
	mu     sync.Mutex
	got    []*pubsub.Envelope
	gaps   int
	gate   chan struct{} // when not nil, Deliver waits for it
	closed bool
	t      *testing.T
}

func newRecorder(t *testing.T) *recorder { return &recorder{t: t} }

func (r *recorder) Deliver(e *pubsub.Envelope) {
	if r.gate != nil {
		<-r.gate
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		r.t.Error("delivered after cancel")
	}
	r.got = append(r.got, e)
}

// Interrupted is part of pubsub.Subscriber.
func (r *recorder) Interrupted(bool) {}

func (r *recorder) Gap() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gaps++
}

func (r *recorder) wait(what string, done func() bool) {
	r.t.Helper()
	eventually.Nil(r.t, what, func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if !done() {
			return fmt.Errorf("%d envelopes, %d gaps", len(r.got), r.gaps)
		}
		return nil
	})
}

func subscribe(t *testing.T, b pubsub.Bus, node string, r *recorder) (cancel func()) {
	t.Helper()
	cancel, err := b.Subscribe(context.Background(), node, r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cancel)
	return cancel
}

func open(t *testing.T, h Harness, queue int) pubsub.Bus {
	t.Helper()
	b := h.Open(t, queue)
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return b
}

func numbered(n int) *pubsub.Envelope {
	return &pubsub.Envelope{Items: []pubsub.Item{{Push: &pubsub.Push{Users: []chat.UserID{1}, Frame: []byte(strconv.Itoa(n))}}}}
}

func testFields(t *testing.T, h Harness) {
	b := open(t, h, 100)
	r := newRecorder(t)
	subscribe(t, b, "a", r)
	want := &pubsub.Envelope{Items: []pubsub.Item{
		{Push: &pubsub.Push{Users: []chat.UserID{1, 1 << 60}, Frame: []byte(`{"t":"message","body":"飛脚"}`)}},
		{Push: &pubsub.Push{Users: []chat.UserID{3}, Conversation: 1 << 60, MembersRev: 1 << 40, Frame: []byte(`{"t":"message"}`)}},
		{Room: &pubsub.Room{Conversation: 7, MembersRev: 9, Frame: []byte(`{}`)}},
		{Membership: &pubsub.Membership{Conversation: 7, MembersRev: 9, Left: []chat.UserID{3}}},
		{Membership: &pubsub.Membership{Conversation: 7, MembersRev: 12, MembersRevBefore: 9, Joined: []chat.UserID{3, 1 << 60}, Left: []chat.UserID{4}}},
		{Membership: &pubsub.Membership{Conversation: 7, MembersRev: 14, MembersRevBefore: 12}},
		{Revoked: &pubsub.Revoked{User: 3, Sessions: []chat.SessionID{4, 5}}},
		{Presence: &pubsub.Presence{User: 3, State: chat.Offline, LastSeen: time.UnixMilli(1_800_000_000_123).UTC()}},
	}}
	if err := b.Publish(context.Background(), "a", want); err != nil {
		t.Fatal(err)
	}
	r.wait("the envelope", func() bool { return len(r.got) == 1 })
	if diff := cmp.Diff(want, r.got[0]); diff != "" {
		t.Error(diff)
	}
}

func testOrder(t *testing.T, h Harness) {
	const publishers, each = 4, 500
	b := open(t, h, publishers*each)
	r := newRecorder(t)
	subscribe(t, b, "a", r)
	var wg sync.WaitGroup
	for p := range publishers {
		wg.Go(func() {
			for n := range each {
				if err := b.Publish(context.Background(), "a", numbered(p*each+n)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	r.wait("all envelopes", func() bool { return len(r.got) == publishers*each })
	next := map[int]int{}
	for _, e := range r.got {
		n, _ := strconv.Atoi(string(e.Items[0].Push.Frame))
		if p := n / each; n%each != next[p] {
			t.Fatalf("publisher %d: number %d, want %d", p, n%each, next[p])
		}
		next[n/each]++
	}
}

func testBroadcast(t *testing.T, h Harness) {
	b := open(t, h, 100)
	var all []*recorder
	for i := range 3 {
		r := newRecorder(t)
		subscribe(t, b, fmt.Sprint("node", i), r)
		all = append(all, r)
	}
	if err := b.Broadcast(context.Background(), numbered(1)); err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		r.wait("the broadcast", func() bool { return len(r.got) == 1 })
		r.mu.Lock()
		gaps := r.gaps
		r.mu.Unlock()
		if gaps > 0 { // by the nodes that subscribed after it
			t.Errorf("%d gaps, though nothing was lost", gaps)
		}
	}
}

// A batch of long messages for one node is one envelope. All of it arrives, in its
// order and without a gap, be it in pieces.
func testLargeEnvelope(t *testing.T, h Harness) {
	const items, size = 500, 98_000 // more than Redis queues for a subscriber
	b := open(t, h, 2*items)
	r := newRecorder(t)
	subscribe(t, b, "a", r)
	large := &pubsub.Envelope{}
	for i := range items {
		frame := make([]byte, size)
		copy(frame, strconv.Itoa(i))
		large.Items = append(large.Items, pubsub.Item{Push: &pubsub.Push{Users: []chat.UserID{chat.UserID(i)}, Frame: frame}})
	}
	for _, e := range []*pubsub.Envelope{numbered(0), large, numbered(1)} {
		if err := b.Publish(context.Background(), "a", e); err != nil {
			t.Fatal(err)
		}
	}
	var got []pubsub.Item
	r.wait("everything", func() bool {
		got = got[:0]
		for _, e := range r.got {
			got = append(got, e.Items...)
		}
		return len(got) == items+2
	})
	for i, item := range got[1 : items+1] {
		if item.Push.Users[0] != chat.UserID(i) || !bytes.Equal(item.Push.Frame, large.Items[i].Push.Frame) {
			t.Fatalf("item %d arrived at place %d", item.Push.Users[0], i)
		}
	}
	if r.gaps != 0 {
		t.Errorf("%d gaps, and nothing was lost", r.gaps)
	}
}

func testGap(t *testing.T, h Harness) {
	const queue = 50
	b := open(t, h, queue)
	slow, fast := newRecorder(t), newRecorder(t)
	slow.gate = make(chan struct{})
	subscribe(t, b, "slow", slow)
	subscribe(t, b, "fast", fast)
	// The slow node takes nothing; Publish must not block. Its queue, and any
	// buffers of the backend below it, become full at some point.
	sent := 0
	for range 200 {
		for range queue {
			_ = b.Publish(context.Background(), "slow", numbered(sent))
			sent++
		}
	}
	if err := b.Publish(context.Background(), "fast", numbered(0)); err != nil {
		t.Fatal(err)
	}
	fast.wait("the fast node is not blocked", func() bool { return len(fast.got) == 1 })
	close(slow.gate)
	slow.wait("the gap", func() bool { return slow.gaps > 0 })
	slow.mu.Lock()
	received := len(slow.got)
	slow.mu.Unlock()
	if received >= sent {
		t.Fatalf("a gap was reported, yet all %d arrived", sent)
	}
	// Earlier envelopes may still be on the way, and be lost with another gap;
	// after that, everything arrives again.
	arrived := func() bool {
		slow.mu.Lock()
		defer slow.mu.Unlock()
		return len(slow.got) > 0 && string(slow.got[len(slow.got)-1].Items[0].Push.Frame) == strconv.Itoa(sent)
	}
	eventually.True(t, "after the gap everything arrives", func() bool {
		if err := b.Publish(context.Background(), "slow", numbered(sent)); err != nil {
			t.Fatal(err)
		}
		return arrived()
	})
}

func testCancel(t *testing.T, h Harness) {
	b := open(t, h, 1000)
	r := newRecorder(t)
	cancel := subscribe(t, b, "a", r)
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := range 500 {
			_ = b.Publish(context.Background(), "a", numbered(n))
		}
	})
	cancel()
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	wg.Wait()
	again := newRecorder(t)
	subscribe(t, b, "a", again)
	if err := b.Publish(context.Background(), "a", numbered(1000)); err != nil {
		t.Fatal(err)
	}
	// Earlier envelopes for the name may arrive before it.
	again.wait("the name can be used again", func() bool {
		return len(again.got) > 0 && string(again.got[len(again.got)-1].Items[0].Push.Frame) == "1000"
	})
}
