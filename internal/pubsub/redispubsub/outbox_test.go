package redispubsub

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/pubsub"
)

// gateway is a subscriber that counts.
type gateway struct {
	got  []chat.UserID
	gaps int
}

func (g *gateway) Deliver(e *pubsub.Envelope) { g.got = append(g.got, e.Items[0].Push.Users[0]) }
func (g *gateway) Gap()                       { g.gaps++ }

func envelope(user, size int) *pubsub.Envelope {
	return &pubsub.Envelope{Items: []pubsub.Item{{Push: &pubsub.Push{Users: []chat.UserID{chat.UserID(user)}, Frame: make([]byte, size)}}}}
}

func put(t *testing.T, o *outbox, node string, e *pubsub.Envelope) {
	t.Helper()
	if err := o.put(node, e); err != nil {
		t.Fatal(err)
	}
}

// beat has Redis take so many heartbeats, one each second from now on, and
// gives them to the nodes. It tells when the last one was.
func beat(o *outbox, times int, now time.Time, nodes ...*node) time.Time {
	for range times {
		now = now.Add(heartbeatEvery)
		m, of := o.heartbeat(now)
		if len(of) == 0 {
			continue
		}
		told(of, now)
		for _, n := range nodes {
			n.deliver(received{message: m.bytes, everyone: true}, nil)
		}
	}
	return now
}

func newGateway(name string) (*node, *gateway) {
	return newNode(name, DefaultQueue, slog.New(slog.DiscardHandler)), &gateway{}
}

// What gathered while Redis was away goes out in messages that Redis can hand
// on, in order.
func TestMuchGoesOutInParts(t *testing.T) {
	o := newOutbox(1)
	const size, envelopes = 10_000, 200
	n, g := newGateway("a")
	for range 2 {
		g.got = nil
		for i := range envelopes {
			put(t, o, "a", envelope(i+1, size))
		}
		out := o.gathered()
		if len(out) < envelopes*size/(maxMessage+size) {
			t.Errorf("%d bytes are %d messages", envelopes*size, len(out))
		}
		for _, m := range out {
			if m.node != "a" || len(m.bytes) > maxMessage+2*size {
				t.Errorf("a message of %d bytes to %q", len(m.bytes), m.node)
			}
			n.deliver(received{message: m.bytes}, g)
		}
		if g.gaps != 0 || len(g.got) != envelopes {
			t.Fatalf("%d envelopes arrived with %d gaps", len(g.got), g.gaps)
		}
		for i, user := range g.got {
			if user != chat.UserID(i+1) {
				t.Fatalf("envelope %d came at place %d", user, i+1)
			}
		}
		if o.pending != 0 || len(o.gathered()) != 0 {
			t.Error("something is left")
		}
	}
}

// What does not fit is lost, and the node sees that.
func TestTooMuchIsLostAndTold(t *testing.T) {
	o := newOutbox(1)
	n, g := newGateway("a")
	put(t, o, "a", envelope(1, maxPending+1))
	if err := o.put("a", envelope(2, 1)); !errors.Is(err, errFull) {
		t.Errorf("more than fits is taken: %v", err)
	}
	for _, m := range o.gathered() {
		n.deliver(received{message: m.bytes}, g)
	}
	put(t, o, "a", envelope(3, 1))
	for _, m := range o.gathered() {
		n.deliver(received{message: m.bytes}, g)
	}
	if g.gaps == 0 {
		t.Error("the node does not know of the loss")
	}
}

// Names of nodes are used once: a channel without messages is forgotten, but
// not before its number was told for long enough.
func TestSilentChannelsAreForgotten(t *testing.T) {
	o := newOutbox(1)
	put(t, o, "a", envelope(1, 1))
	o.gathered()
	now := time.Now()
	// A heartbeat that Redis does not take counts for nothing.
	for range 10 * tellings {
		now = now.Add(heartbeatEvery)
		if _, of := o.heartbeat(now); len(of) != 1 {
			t.Fatal("a number that nobody heard of is not told any more")
		}
	}
	now = beat(o, tellings, now)
	if _, of := o.heartbeat(now); len(of) != 0 {
		t.Error("the number is told for ever")
	}
	o.heartbeat(now.Add(channelKept))
	if len(o.channels) != 1 {
		t.Error("the channel is forgotten while nodes remember its numbers")
	}
	o.heartbeat(now.Add(channelKept + time.Second))
	if len(o.channels) != 0 {
		t.Error("the channel is kept for ever")
	}
}

// A publisher that was quiet, for however long, has lost nothing by it.
func TestQuietPublishers(t *testing.T) {
	for name, quiet := range map[string]int{
		"not for long":                          tellings / 2,
		"until it is silent":                    tellings,
		"until nodes forget it":                 2*tellings + 2,
		"until it forgets the channel":          int(channelKept/heartbeatEvery) + tellings + 2,
		"until it has forgotten it for a while": 10 * tellings,
	} {
		t.Run(name, func(t *testing.T) {
			o := newOutbox(1)
			n, g := newGateway("a")
			now := time.Now()
			for i := range 3 {
				for range 2 {
					put(t, o, "a", envelope(i, 1))
					for _, m := range o.gathered() {
						n.deliver(received{message: m.bytes}, g)
					}
				}
				now = beat(o, quiet, now, n)
				if n.overdue(now) {
					t.Error("something is overdue")
				}
			}
			if g.gaps != 0 || len(g.got) != 6 {
				t.Errorf("%d gaps, %d of 6 delivered; nothing was lost", g.gaps, len(g.got))
			}
		})
	}
}

// A message that was lost is told of, also when the publisher is silent
// afterwards and the node learns of it from the next message alone.
func TestLossesAroundASilence(t *testing.T) {
	for name, loss := range map[string]func(o *outbox, n *node, g *gateway, now time.Time){
		"the last before it, and every heartbeat": func(o *outbox, _ *node, _ *gateway, now time.Time) {
			o.gathered()
			beat(o, tellings, now)
		},
		"the last before it, and the node is slow": func(o *outbox, n *node, _ *gateway, now time.Time) {
			o.gathered()
			beat(o, tellings, now, n)
		},
		"the last before it, and the heartbeats tell": func(o *outbox, n *node, g *gateway, now time.Time) {
			o.gathered()
			beat(o, tellings, now, n)
			if n.overdue(time.Now().Add(grace)) {
				g.Gap()
			}
		},
		"the first after it": func(o *outbox, n *node, g *gateway, now time.Time) {
			for _, m := range o.gathered() {
				n.deliver(received{message: m.bytes}, g)
			}
			beat(o, tellings, now, n)
			_ = o.put("a", envelope(3, 1))
			o.gathered()
		},
		"the first after it, and the node has forgotten": func(o *outbox, n *node, g *gateway, now time.Time) {
			for _, m := range o.gathered() {
				n.deliver(received{message: m.bytes}, g)
			}
			now = beat(o, tellings, now, n)
			n.overdue(now.Add(2 * channelLife))
			_ = o.put("a", envelope(3, 1))
			o.gathered()
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOutbox(1)
			n, g := newGateway("a")
			put(t, o, "a", envelope(1, 1))
			for _, m := range o.gathered() {
				n.deliver(received{message: m.bytes}, g)
			}
			put(t, o, "a", envelope(2, 1))
			loss(o, n, g, time.Now())
			put(t, o, "a", envelope(4, 1))
			for _, m := range o.gathered() {
				n.deliver(received{message: m.bytes}, g)
			}
			if g.gaps != 1 {
				t.Errorf("%d gaps are told", g.gaps)
			}
			if g.got[len(g.got)-1] != 4 {
				t.Error("what came afterwards is not delivered")
			}
		})
	}
}

// A node that was busy for so long that it remembers numbers which the
// publisher has forgotten takes what comes, and knows what does not.
func TestNumbersThatGoOn(t *testing.T) {
	o := newOutbox(1)
	n, g := newGateway("a")
	now := time.Now()
	for i := range 3 {
		put(t, o, "a", envelope(i+1, 1))
		for _, m := range o.gathered() {
			n.deliver(received{message: m.bytes}, g)
		}
	}
	now = beat(o, tellings, now, n)
	o.heartbeat(now.Add(channelKept + time.Second))
	for i := range 2 {
		put(t, o, "a", envelope(i+4, 1))
		for _, m := range o.gathered() {
			n.deliver(received{message: m.bytes}, g)
		}
	}
	if g.gaps != 0 || len(g.got) != 5 {
		t.Errorf("%d gaps, %d of 5 delivered", g.gaps, len(g.got))
	}
	now = beat(o, tellings, now)
	o.heartbeat(now.Add(channelKept + time.Second))
	for i, arrives := range []bool{false, true} {
		put(t, o, "a", envelope(i+6, 1))
		for _, m := range o.gathered() {
			if arrives {
				n.deliver(received{message: m.bytes}, g)
			}
		}
	}
	if g.gaps != 1 || len(g.got) != 6 {
		t.Errorf("%d gaps, %d of 6 delivered, when one was lost", g.gaps, len(g.got))
	}
}

// In a Cluster a heartbeat may be faster than the message of which it tells.
func TestAHeartbeatThatOvertakes(t *testing.T) {
	for name, forgotten := range map[string]bool{"a source that is known": false, "one that is forgotten": true} {
		t.Run(name, func(t *testing.T) {
			o := newOutbox(1)
			n, g := newGateway("a")
			put(t, o, "a", envelope(1, 1))
			for _, m := range o.gathered() {
				n.deliver(received{message: m.bytes}, g)
			}
			now := beat(o, tellings, time.Now(), n)
			if forgotten {
				n.overdue(now.Add(2 * channelLife))
			}
			put(t, o, "a", envelope(2, 1))
			late := o.gathered()
			beat(o, 1, now, n)
			for _, m := range late {
				n.deliver(received{message: m.bytes}, g)
			}
			if n.overdue(time.Now().Add(grace)) || g.gaps != 0 || len(g.got) != 2 {
				t.Errorf("%d gaps, %d of 2 delivered; nothing was lost", g.gaps, len(g.got))
			}
		})
	}
}
