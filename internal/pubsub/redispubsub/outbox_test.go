package redispubsub

import (
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/pubsub"
)

// recorder is a subscriber that records users and counts gaps.
type recorder struct {
	got  []chat.UserID
	gaps int
}

func (r *recorder) Deliver(e *pubsub.Envelope) { r.got = append(r.got, e.Items[0].Push.Users[0]) }
func (r *recorder) Gap()                       { r.gaps++ }
func (r *recorder) Interrupted(bool)           {}

func envelope(user, size int) *pubsub.Envelope {
	return &pubsub.Envelope{Items: []pubsub.Item{{Push: &pubsub.Push{Users: []chat.UserID{chat.UserID(user)}, Frame: make([]byte, size)}}}}
}

func enqueue(t *testing.T, o *outbox, node string, e *pubsub.Envelope) {
	t.Helper()
	if err := o.enqueue(node, e); err != nil {
		t.Fatal(err)
	}
}

// sendHeartbeats delivers heartbeats to the nodes, one each second after now, and
// returns the time of the last one.
func sendHeartbeats(o *outbox, times int, now time.Time, nodes ...*node) time.Time {
	for range times {
		now = now.Add(heartbeatInterval)
		m, of := o.heartbeat(now)
		if len(of) == 0 {
			continue
		}
		heartbeatSent(of, now)
		for _, n := range nodes {
			n.deliver(received{message: m.bytes, broadcast: true}, nil)
		}
	}
	return now
}

func newTestNode(name string) (*node, *recorder) {
	return newNode(name, Config{}.WithDefaults().Queue, slog.New(slog.DiscardHandler)), &recorder{}
}

// What was queued during an outage of Redis is sent in messages of limited size,
// in order.
func TestFlushSplitsMessages(t *testing.T) {
	o := newOutbox(1)
	const size, envelopes = 10_000, 200
	n, r := newTestNode("a")
	for range 2 {
		r.got = nil
		for i := range envelopes {
			enqueue(t, o, "a", envelope(i+1, size))
		}
		out := o.flush()
		if len(out) < envelopes*size/(maxMessage+size) {
			t.Errorf("%d bytes are %d messages", envelopes*size, len(out))
		}
		for _, m := range out {
			if m.node != "a" || len(m.bytes) > maxMessage+2*size {
				t.Errorf("a message of %d bytes to %q", len(m.bytes), m.node)
			}
			n.deliver(received{message: m.bytes}, r)
		}
		if r.gaps != 0 || len(r.got) != envelopes {
			t.Fatalf("%d envelopes arrived with %d gaps", len(r.got), r.gaps)
		}
		for i, user := range r.got {
			if user != chat.UserID(i+1) {
				t.Fatalf("envelope %d came at place %d", user, i+1)
			}
		}
		if o.pending != 0 || len(o.flush()) != 0 {
			t.Error("something is left")
		}
	}
}

// A large envelope, such as a batch of long messages, is sent in messages of
// limited size, which are published a few at a time; the numbers reveal the loss
// of any of them.
func TestLargeEnvelopeIsSplit(t *testing.T) {
	const items, size = 400, 98_000
	for lost := -1; lost < 3; lost++ {
		o := newOutbox(1)
		n, r := newTestNode("a")
		enqueue(t, o, "a", envelope(1, 1))
		for _, m := range o.flush() {
			n.deliver(received{message: m.bytes}, r)
		}
		var e pubsub.Envelope
		for i := range items {
			e.Items = append(e.Items, envelope(i+2, size).Items...)
		}
		enqueue(t, o, "a", &e)
		enqueue(t, o, "a", envelope(items+2, 1))
		out := o.flush()
		for rest := out; len(rest) > 0; {
			together := 0
			for _, m := range rest[:inOnePipeline(rest)] {
				together += len(m.bytes)
			}
			if together > maxPipeline {
				t.Errorf("%d bytes are published together", together)
			}
			rest = rest[inOnePipeline(rest):]
		}
		for i, m := range out {
			if len(m.bytes) > max(maxMessage, size)+100 {
				t.Errorf("a message of %d bytes", len(m.bytes))
			}
			if i != lost {
				n.deliver(received{message: m.bytes}, r)
			}
		}
		want := items + 2
		if lost >= 0 {
			want--
		}
		if gap := r.gaps == 1; len(r.got) != want || gap != (lost >= 0) {
			t.Errorf("message %d was lost: %d of %d items, %d gaps", lost, len(r.got), want, r.gaps)
		}
		if !slices.IsSorted(r.got) {
			t.Error("items changed their order")
		}
		if o.pending != 0 {
			t.Errorf("%d bytes are left", o.pending)
		}
	}
}

// An item that is larger than what Redis queues for a subscriber is lost alone.
func TestItemTooLarge(t *testing.T) {
	o := newOutbox(1)
	n, r := newTestNode("a")
	enqueue(t, o, "a", envelope(1, 1))
	if err := o.enqueue("a", envelope(2, maxPipeline)); !errors.Is(err, errFull) {
		t.Errorf("it is queued: %v", err)
	}
	enqueue(t, o, "a", envelope(3, 1))
	for range 2 { // the loss is revealed by what was queued before it, or by the next one
		for _, m := range o.flush() {
			n.deliver(received{message: m.bytes}, r)
		}
		enqueue(t, o, "a", envelope(4, 1))
	}
	if r.gaps == 0 || len(r.got) != 3 {
		t.Errorf("%d gaps, %v arrived", r.gaps, r.got)
	}
}

// What does not fit is lost, and the node is notified.
func TestOverflowIsAGap(t *testing.T) {
	o := newOutbox(1)
	n, r := newTestNode("a")
	for range maxPending / maxPipeline {
		enqueue(t, o, "a", envelope(1, maxPipeline-100))
	}
	enqueue(t, o, "a", envelope(1, maxPending-o.pending-100))
	if err := o.enqueue("a", envelope(2, 100)); !errors.Is(err, errFull) {
		t.Errorf("more than fits is accepted: %v", err)
	}
	for _, m := range o.flush() {
		n.deliver(received{message: m.bytes}, r)
	}
	enqueue(t, o, "a", envelope(3, 1))
	for _, m := range o.flush() {
		n.deliver(received{message: m.bytes}, r)
	}
	if r.gaps == 0 {
		t.Error("the node was not notified of the loss")
	}
}

// What is lost after a gap was reported is another one: devices may have looked for
// what they missed between the two.
func TestLossAfterAGap(t *testing.T) {
	for _, announced := range []bool{false, true} {
		o := newOutbox(1)
		n, r := newTestNode("a")
		send := func(user int, lost bool) {
			enqueue(t, o, "a", envelope(user, 1))
			for _, m := range o.flush() {
				if !lost {
					n.deliver(received{message: m.bytes}, r)
				}
			}
		}
		send(1, false)
		n.markLost() // the subscription was interrupted
		n.deliverBroadcast(r)
		before := r.gaps
		send(2, true)
		if announced { // before something else comes, if it does
			sendHeartbeats(o, 1, time.Now(), n)
			if n.overdue(time.Now().Add(reorderTimeout)) {
				r.Gap()
			}
		} else {
			send(3, false)
		}
		if before != 1 || r.gaps != 2 {
			t.Errorf("announced %t: %d gaps are reported, and %d before the last loss", announced, r.gaps, before)
		}
	}
}

// Names of nodes are used once: a channel without messages is deleted, but not
// before its number was announced often enough.
func TestSilentChannelsAreDeleted(t *testing.T) {
	o := newOutbox(1)
	enqueue(t, o, "a", envelope(1, 1))
	o.flush()
	now := time.Now()
	// A heartbeat that was not published does not count.
	for range 10 * heartbeatsPerMessage {
		now = now.Add(heartbeatInterval)
		if _, of := o.heartbeat(now); len(of) != 1 {
			t.Fatal("a number that was not received is no longer announced")
		}
	}
	now = sendHeartbeats(o, heartbeatsPerMessage, now)
	if _, of := o.heartbeat(now); len(of) != 0 {
		t.Error("the number is announced for ever")
	}
	o.heartbeat(now.Add(channelRetention))
	if len(o.channels) != 1 {
		t.Error("the channel is deleted while nodes remember its numbers")
	}
	o.heartbeat(now.Add(channelRetention + time.Second))
	if len(o.channels) != 0 {
		t.Error("the channel is kept for ever")
	}
}

// A silence of a publisher, however long, is not a gap.
func TestQuietPublishers(t *testing.T) {
	for name, quiet := range map[string]int{
		"not for long":                          heartbeatsPerMessage / 2,
		"until it is silent":                    heartbeatsPerMessage,
		"until nodes forget it":                 2*heartbeatsPerMessage + 2,
		"until it forgets the channel":          int(channelRetention/heartbeatInterval) + heartbeatsPerMessage + 2,
		"until it has forgotten it for a while": 10 * heartbeatsPerMessage,
	} {
		t.Run(name, func(t *testing.T) {
			o := newOutbox(1)
			n, r := newTestNode("a")
			now := time.Now()
			for i := range 3 {
				for range 2 {
					enqueue(t, o, "a", envelope(i, 1))
					for _, m := range o.flush() {
						n.deliver(received{message: m.bytes}, r)
					}
				}
				now = sendHeartbeats(o, quiet, now, n)
				if n.overdue(now) {
					t.Error("something is overdue")
				}
			}
			if r.gaps != 0 || len(r.got) != 6 {
				t.Errorf("%d gaps, %d of 6 delivered; nothing was lost", r.gaps, len(r.got))
			}
		})
	}
}

// A lost message is a gap, even when the publisher is silent afterwards and only
// the next message reveals the loss.
func TestLossesAroundASilence(t *testing.T) {
	for name, loss := range map[string]func(o *outbox, n *node, r *recorder, now time.Time){
		"the last before it, and every heartbeat": func(o *outbox, _ *node, _ *recorder, now time.Time) {
			o.flush()
			sendHeartbeats(o, heartbeatsPerMessage, now)
		},
		"the last before it, and the node is slow": func(o *outbox, n *node, _ *recorder, now time.Time) {
			o.flush()
			sendHeartbeats(o, heartbeatsPerMessage, now, n)
		},
		"the last before it, and the heartbeats announce it": func(o *outbox, n *node, r *recorder, now time.Time) {
			o.flush()
			sendHeartbeats(o, heartbeatsPerMessage, now, n)
			if n.overdue(time.Now().Add(reorderTimeout)) {
				r.Gap()
			}
		},
		"the first after it": func(o *outbox, n *node, r *recorder, now time.Time) {
			for _, m := range o.flush() {
				n.deliver(received{message: m.bytes}, r)
			}
			sendHeartbeats(o, heartbeatsPerMessage, now, n)
			_ = o.enqueue("a", envelope(3, 1))
			o.flush()
		},
		"the first after it, and the node has forgotten": func(o *outbox, n *node, r *recorder, now time.Time) {
			for _, m := range o.flush() {
				n.deliver(received{message: m.bytes}, r)
			}
			now = sendHeartbeats(o, heartbeatsPerMessage, now, n)
			n.overdue(now.Add(2 * channelTTL))
			_ = o.enqueue("a", envelope(3, 1))
			o.flush()
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOutbox(1)
			n, r := newTestNode("a")
			enqueue(t, o, "a", envelope(1, 1))
			for _, m := range o.flush() {
				n.deliver(received{message: m.bytes}, r)
			}
			enqueue(t, o, "a", envelope(2, 1))
			loss(o, n, r, time.Now())
			enqueue(t, o, "a", envelope(4, 1))
			for _, m := range o.flush() {
				n.deliver(received{message: m.bytes}, r)
			}
			if r.gaps != 1 {
				t.Errorf("%d gaps are reported", r.gaps)
			}
			if r.got[len(r.got)-1] != 4 {
				t.Error("what came afterwards is not delivered")
			}
		})
	}
}

// A node was busy for so long that it remembers numbers of a channel which the
// publisher has deleted: it accepts new messages, and detects lost ones.
func TestNumbersContinue(t *testing.T) {
	o := newOutbox(1)
	n, r := newTestNode("a")
	now := time.Now()
	for i := range 3 {
		enqueue(t, o, "a", envelope(i+1, 1))
		for _, m := range o.flush() {
			n.deliver(received{message: m.bytes}, r)
		}
	}
	now = sendHeartbeats(o, heartbeatsPerMessage, now, n)
	o.heartbeat(now.Add(channelRetention + time.Second))
	for i := range 2 {
		enqueue(t, o, "a", envelope(i+4, 1))
		for _, m := range o.flush() {
			n.deliver(received{message: m.bytes}, r)
		}
	}
	if r.gaps != 0 || len(r.got) != 5 {
		t.Errorf("%d gaps, %d of 5 delivered", r.gaps, len(r.got))
	}
	now = sendHeartbeats(o, heartbeatsPerMessage, now)
	o.heartbeat(now.Add(channelRetention + time.Second))
	for i, arrives := range []bool{false, true} {
		enqueue(t, o, "a", envelope(i+6, 1))
		for _, m := range o.flush() {
			if arrives {
				n.deliver(received{message: m.bytes}, r)
			}
		}
	}
	if r.gaps != 1 || len(r.got) != 6 {
		t.Errorf("%d gaps, %d of 6 delivered, when one was lost", r.gaps, len(r.got))
	}
}

// In a Cluster a heartbeat may arrive before the message that it announces.
func TestHeartbeatOvertakesMessage(t *testing.T) {
	for name, forgotten := range map[string]bool{"a known source": false, "a forgotten source": true} {
		t.Run(name, func(t *testing.T) {
			o := newOutbox(1)
			n, r := newTestNode("a")
			enqueue(t, o, "a", envelope(1, 1))
			for _, m := range o.flush() {
				n.deliver(received{message: m.bytes}, r)
			}
			now := sendHeartbeats(o, heartbeatsPerMessage, time.Now(), n)
			if forgotten {
				n.overdue(now.Add(2 * channelTTL))
			}
			enqueue(t, o, "a", envelope(2, 1))
			late := o.flush()
			sendHeartbeats(o, 1, now, n)
			for _, m := range late {
				n.deliver(received{message: m.bytes}, r)
			}
			if n.overdue(time.Now().Add(reorderTimeout)) || r.gaps != 0 || len(r.got) != 2 {
				t.Errorf("%d gaps, %d of 2 delivered; nothing was lost", r.gaps, len(r.got))
			}
		})
	}
}

// subscriberFunc is a subscriber whose gaps are envelopes for user 0.
type subscriberFunc func(chat.UserID)

func (f subscriberFunc) Deliver(e *pubsub.Envelope) { f(e.Items[0].Push.Users[0]) }
func (f subscriberFunc) Gap()                       { f(0) }
func (f subscriberFunc) Interrupted(bool)           {}

// What is for all nodes goes before what waits for one, but for heartbeats, which
// announce what waits.
func TestBroadcastsOvertake(t *testing.T) {
	n, _ := newTestNode("a")
	o := newOutbox(1)
	send := func(node string, user int) {
		enqueue(t, o, node, envelope(user, 1))
		for _, m := range o.flush() {
			n.enqueue(m.bytes, m.node == broadcastName)
		}
	}
	for user := range 3 {
		send("a", 11+user)
	}
	m, _ := o.heartbeat(time.Now())
	n.enqueue(m.bytes, true)
	send(broadcastName, 1)
	send(broadcastName, 2)
	var got []chat.UserID
	n.running.Go(func() {
		n.run(subscriberFunc(func(user chat.UserID) {
			switch got = append(got, user); user {
			case 11:
				send(broadcastName, 3)
				send("a", 14)
			case 14:
				close(n.stop)
			}
		}))
	})
	n.running.Wait()
	if want := []chat.UserID{1, 2, 11, 3, 12, 13, 14}; !slices.Equal(got, want) {
		t.Errorf("%v, not %v", got, want)
	}
}
