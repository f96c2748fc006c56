package redispubsub

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/batching"
	"github.com/hikyaku-chat/hikyaku/internal/pubsub"
	"github.com/hikyaku-chat/hikyaku/internal/varint"
)

// node is one subscriber: two bounded queues, and its progress in the numbers of
// each publisher.
type node struct {
	name string
	log  *slog.Logger
	// broadcast has the data for all nodes and goes before queue, which has the
	// rest. Heartbeats wait behind the data that they announce. The bounds are in
	// envelopes.
	queue, broadcast *batching.Lossy[received]
	stop             chan struct{}
	running          sync.WaitGroup

	heard [2]atomic.Bool // whether a message came on the channel, since the last check; the second is that of all nodes

	// Used by run only.
	sources     map[source]*progress
	silent      [2]int // checks since the channel was heard
	interrupted bool
}

// received is a message and from which of the node's channels it came.
type received struct {
	message   []byte
	broadcast bool
}

// source is a publisher on one of the node's two channels.
type source struct {
	publisher uint64
	broadcast bool
}

// progress is how far the messages of a source have been received.
type progress struct {
	number      uint64    // last received
	announced   uint64    // number in a heartbeat that has not been received
	announcedAt time.Time // when that heartbeat came
	lastSeen    time.Time
}

func newNode(name string, queue int, log *slog.Logger) *node {
	return &node{
		name: name, log: log, queue: batching.NewLossy[received](queue), broadcast: batching.NewLossy[received](queue),
		stop: make(chan struct{}), sources: map[source]*progress{},
	}
}

// enqueue queues a message. The connection's reader calls it, so it must not
// block.
func (n *node) enqueue(message []byte, everyone bool) {
	n.heard[index(everyone)].Store(true)
	h, _, err := readHeader(message)
	if err != nil {
		n.log.Error("a bus message cannot be decoded", "error", err)
		n.markLost()
		return
	}
	size, queue := 1, n.queue
	if h.kind != kindHeartbeat {
		if h.count < uint64(len(message)) {
			size = int(h.count) //nolint:gosec // not above the length
		}
		if everyone {
			queue = n.broadcast
		}
	}
	queue.Add(received{message: message, broadcast: everyone}, size)
}

// markLost records that anything may have been lost. That is reported before
// anything that comes after it.
func (n *node) markLost() { n.broadcast.Lose() }

// stopAndWait stops all goroutines of the node and waits for them.
func (n *node) stopAndWait() {
	close(n.stop)
	n.running.Wait()
}

func (n *node) run(s pubsub.Subscriber) {
	check := time.NewTicker(checkInterval)
	defer check.Stop()
	for {
		select {
		case <-n.stop:
			return
		case now := <-check.C:
			if n.overdue(now) {
				s.Gap()
			}
			n.checkInterruption(s)
			continue
		case <-n.broadcast.Ready():
			n.deliverBroadcast(s)
			continue
		case <-n.queue.Ready():
		}
		messages, lost := n.queue.Take()
		for _, m := range messages {
			select {
			case <-n.broadcast.Ready():
				n.deliverBroadcast(s)
			default:
			}
			n.deliver(m, s)
		}
		if lost {
			s.Gap()
		}
	}
}

// deliverBroadcast delivers what waits for all nodes.
func (n *node) deliverBroadcast(s pubsub.Subscriber) {
	messages, lost := n.broadcast.Take()
	for _, m := range messages {
		n.deliver(m, s)
	}
	if lost {
		s.Gap() // the numbers that follow report one more, as some may be lost after it
	}
}

func index(broadcast bool) int {
	if broadcast {
		return 1
	}
	return 0
}

// checkInterruption notices when a channel is silent, and when it no longer is.
// The bus sends an echo where nothing else comes. Checks are counted, instead of
// time, because a process that does not get to run hears nothing either.
func (n *node) checkInterruption(s pubsub.Subscriber) {
	interrupted := false
	for i := range n.silent {
		n.silent[i]++
		if n.heard[i].Swap(false) {
			n.silent[i] = 0
		}
		interrupted = interrupted || n.silent[i] >= maxSilentChecks
	}
	if interrupted == n.interrupted {
		return
	}
	if n.interrupted = interrupted; interrupted {
		n.log.Error("nothing arrives on the bus; clients are served from the database", "node", n.name)
	} else {
		n.log.Info("the bus works again", "node", n.name)
	}
	s.Interrupted(interrupted)
	s.Gap()
}

func (n *node) deliver(m received, s pubsub.Subscriber) {
	h, r, err := readHeader(m.message)
	if err != nil {
		return // enqueue has logged it
	}
	now := time.Now()
	if h.kind == kindHeartbeat {
		n.heartbeat(h, r, now)
		return
	}
	p := n.progressOf(source{h.publisher, m.broadcast}, now)
	switch {
	case h.kind == kindReset:
		// The number is accepted, also from a source that was forgotten during
		// the silence. It is a gap only when something before it is known to be
		// missing; a heartbeat may also have announced this very message.
		if p.number < p.announced && p.announced < h.number || p.number > 0 && p.number+1 < h.number {
			s.Gap()
		}
	case h.number <= p.number:
		return // it was received before
	case h.number != p.number+1:
		s.Gap()
	}
	p.number = h.number
	if p.announced <= p.number {
		p.announced = 0
	}
	envelopes, err := readEnvelopes(r, h.count)
	for _, e := range envelopes {
		s.Deliver(e)
	}
	if err != nil {
		n.log.Error("an envelope cannot be decoded; another process may run a newer version of Hikyaku", "error", err)
		s.Gap()
	}
}

// progressOf returns the progress of a source; that of a new one is 0.
func (n *node) progressOf(of source, now time.Time) *progress {
	p := n.sources[of]
	if p == nil {
		p = &progress{}
		n.sources[of] = p
	}
	p.lastSeen = now
	return p
}

// heartbeat records the last numbers of a publisher.
func (n *node) heartbeat(h header, r *varint.Reader, now time.Time) {
	for range h.count {
		name, number := string(r.Bytes()), r.Uvarint()
		if r.Failed() {
			return
		}
		if name != n.name && name != broadcastName {
			continue
		}
		p := n.progressOf(source{h.publisher, name == broadcastName}, now)
		if number > p.number && p.announced == 0 {
			p.announced, p.announcedAt = number, now
		}
	}
}

// overdue reports whether a message that a heartbeat announced has not been
// received in time.
func (n *node) overdue(now time.Time) (lost bool) {
	for of, p := range n.sources {
		switch {
		case p.announced > p.number && now.Sub(p.announcedAt) >= reorderTimeout:
			p.number, p.announced, lost = p.announced, 0, true
		case now.Sub(p.lastSeen) > channelTTL+reorderTimeout:
			delete(n.sources, of)
		}
	}
	return lost
}
