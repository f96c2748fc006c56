package redispubsub

import (
	"log/slog"
	"sync"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/batching"
	"github.com/hikyaku-chat/hikyaku/internal/pubsub"
	"github.com/hikyaku-chat/hikyaku/internal/varint"
)

// node is one subscriber: a bounded queue, and what it knows of the numbers of
// the publishers.
type node struct {
	name    string
	log     *slog.Logger
	queue   *batching.Lossy[received] // its bound is in envelopes
	stop    chan struct{}
	running sync.WaitGroup

	// Of run alone.
	numbers map[source]*progress
}

// received is a message and which of the node's channels it came by.
type received struct {
	message  []byte
	everyone bool
}

// source is a publisher on one of the node's two channels.
type source struct {
	publisher uint64
	everyone  bool
}

// progress is how far a source is.
type progress struct {
	number uint64 // last received
	// anew is set after a gap: the next number is taken as it comes.
	anew  bool
	told  uint64    // number of which a heartbeat told that has not come
	since time.Time // when it told so
	heard time.Time
}

func newNode(name string, queue int, log *slog.Logger) *node {
	return &node{
		name: name, log: log, queue: batching.NewLossy[received](queue), stop: make(chan struct{}),
		numbers: map[source]*progress{},
	}
}

// put queues a message. It is called by the connection's reader and must not
// block.
func (n *node) put(message []byte, everyone bool) {
	h, _, err := readHeader(message)
	if err != nil {
		n.log.Error("a message on the bus cannot be read", "error", err)
		n.interrupted()
		return
	}
	size := 1
	if h.kind != kindHeartbeat && h.count < uint64(len(message)) {
		size = int(h.count) //nolint:gosec // not above the length
	}
	n.queue.Add(received{message: message, everyone: everyone}, size)
}

// interrupted says that anything may have been lost.
func (n *node) interrupted() { n.queue.Lose() }

func (n *node) end() {
	close(n.stop)
	n.running.Wait()
}

func (n *node) run(s pubsub.Subscriber) {
	check := time.NewTicker(grace / 2)
	defer check.Stop()
	for {
		select {
		case <-n.stop:
			return
		case now := <-check.C:
			if n.overdue(now) {
				s.Gap()
			}
			continue
		case <-n.queue.Ready():
		}
		messages, lost := n.queue.Take()
		for _, m := range messages {
			n.deliver(m, s)
		}
		if lost {
			n.startAnew()
			s.Gap()
		}
	}
}

// startAnew forgets the numbers: what they could tell of, a gap has told.
func (n *node) startAnew() {
	for _, p := range n.numbers {
		p.anew, p.told = true, 0
	}
}

func (n *node) deliver(m received, s pubsub.Subscriber) {
	h, r, err := readHeader(m.message)
	if err != nil {
		return // put has said so
	}
	now := time.Now()
	if h.kind == kindHeartbeat {
		n.heartbeat(h, r, now)
		return
	}
	p := n.source(source{h.publisher, m.everyone}, now)
	switch {
	case p.anew:
	case h.kind == kindAnew:
		// Taken as it comes, also from a source that was forgotten over the
		// silence. It is a gap only where something before it is known to
		// be missing; a heartbeat may also have told of this very message.
		if p.number < p.told && p.told < h.number || p.number > 0 && p.number+1 < h.number {
			s.Gap()
		}
	case h.number <= p.number:
		return // it came before
	case h.number != p.number+1:
		s.Gap()
	}
	p.number, p.anew = h.number, false
	if p.told <= p.number {
		p.told = 0
	}
	for range h.count {
		e, err := readEnvelope(r)
		if err != nil {
			n.log.Error("an envelope on the bus cannot be read; is a newer Hikyaku at work?", "error", err)
			s.Gap()
			return
		}
		s.Deliver(e)
	}
}

// source finds how far a publisher is; one that is new has sent nothing yet.
func (n *node) source(of source, now time.Time) *progress {
	p := n.numbers[of]
	if p == nil {
		p = &progress{}
		n.numbers[of] = p
	}
	p.heard = now
	return p
}

// heartbeat notes the numbers that a publisher has used.
func (n *node) heartbeat(h header, r *varint.Reader, now time.Time) {
	for range h.count {
		name, number := string(r.Bytes()), r.Uvarint()
		if r.Failed() {
			return
		}
		if name != n.name && name != everyone {
			continue
		}
		p := n.source(source{h.publisher, name == everyone}, now)
		switch {
		case p.anew:
			p.number, p.anew = number, false
		case number > p.number && p.told == 0:
			p.told, p.since = number, now
		}
	}
}

// overdue tells whether something that a heartbeat told of has not come.
func (n *node) overdue(now time.Time) (lost bool) {
	for of, p := range n.numbers {
		switch {
		case p.told > p.number && now.Sub(p.since) >= grace:
			p.number, p.told, lost = p.told, 0, true
		case now.Sub(p.heard) > channelLife+grace:
			delete(n.numbers, of)
		}
	}
	return lost
}
