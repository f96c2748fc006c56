package redispubsub

import (
	"encoding/binary"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/pubsub"
	"github.com/hikyaku-chat/hikyaku/internal/varint"
)

const (
	// maxPending bounds the bytes that wait for Redis.
	maxPending = 64 << 20
	// maxMessage ends a message, in bytes, so that one does not become
	// megabytes: Redis cuts off subscribers for which 32 MiB wait.
	maxMessage = 256 << 10

	heartbeatEvery = time.Second
	// channelLife is how long the numbers of a channel are told after the
	// last message on it, and how long a silent publisher is remembered.
	channelLife = time.Minute
	// tellings is how many heartbeats that is. They are counted, not timed: a
	// heartbeat that Redis did not take has told nobody.
	tellings = int(channelLife / heartbeatEvery)
	// channelKept is how long a channel is kept that is silent: for longer
	// than any node remembers its numbers.
	channelKept = 2 * channelLife
)

// outbox is what waits for Redis, by channel, and how far the numbers are. It
// is not safe for concurrent use.
type outbox struct {
	publisher uint64
	channels  map[string]*channel
	pending   int // bytes
	// highest is the highest number of a channel that was forgotten. Should
	// it be used again, its numbers go on above: a node that remembers them,
	// because it was busy meanwhile, would take lower ones for old.
	highest uint64
}

// channel is what waits for a channel and how far its numbers are.
type channel struct {
	number  uint64 // last used
	waiting []part
	spare   []byte // memory of a part that was sent
	// telling is how many heartbeats are still to tell the number. At 0 the
	// channel is silent, since the given time: whoever listens has heard of
	// its number so often, or was told of a gap, that the next message begins
	// anew.
	telling int
	silent  time.Time
}

// part is a message that is not numbered yet.
type part struct {
	envelopes []byte
	count     uint64
}

// message goes out on the channel of a node.
type message struct {
	node  string
	bytes []byte
}

func newOutbox(publisher uint64) *outbox {
	return &outbox{publisher: publisher, channels: map[string]*channel{}}
}

// put queues an envelope for a node. When too much waits it is lost, which the
// node will see.
func (o *outbox) put(node string, e *pubsub.Envelope) error {
	c := o.channels[node]
	if c == nil {
		c = &channel{number: o.highest}
		o.channels[node] = c
	}
	if o.pending > maxPending {
		c.number++
		c.telling = tellings
		return errFull
	}
	last := len(c.waiting) - 1
	if last < 0 || len(c.waiting[last].envelopes) >= maxMessage {
		c.waiting = append(c.waiting, part{envelopes: c.spare})
		c.spare = nil
		last++
	}
	p := &c.waiting[last]
	before := len(p.envelopes)
	p.envelopes = appendEnvelope(p.envelopes, e)
	p.count++
	o.pending += len(p.envelopes) - before
	return nil
}

// gathered makes messages of what waits, in the order of each channel.
func (o *outbox) gathered() (out []message) {
	for node, c := range o.channels {
		for _, p := range c.waiting {
			kind := byte(kindData)
			if c.telling == 0 {
				kind = kindAnew
			}
			c.number++
			c.telling = tellings
			b := make([]byte, 0, len(p.envelopes)+24)
			b = appendHeader(b, header{kind: kind, publisher: o.publisher, number: c.number, count: p.count})
			out = append(out, message{node: node, bytes: append(b, p.envelopes...)})
			if cap(p.envelopes) <= 2*maxMessage {
				c.spare = p.envelopes[:0]
			}
		}
		clear(c.waiting)
		c.waiting = c.waiting[:0]
	}
	o.pending = 0
	return out
}

// heartbeat tells all nodes the numbers last used on the channels that it gives
// with it, and forgets channels that have been silent for long.
func (o *outbox) heartbeat(now time.Time) (m message, of []*channel) {
	var told []byte
	for node, c := range o.channels {
		switch {
		case len(c.waiting) > 0:
			continue // its next message tells
		case c.telling == 0:
			if now.Sub(c.silent) > channelKept {
				o.highest = max(o.highest, c.number)
				delete(o.channels, node)
			}
			continue
		}
		told = varint.AppendBytes(told, node)
		told = binary.AppendUvarint(told, c.number)
		of = append(of, c)
	}
	b := appendHeader(nil, header{kind: kindHeartbeat, publisher: o.publisher, count: uint64(len(of))})
	return message{node: everyone, bytes: append(b, told...)}, of
}

// told notes that Redis took a heartbeat of these channels.
func told(of []*channel, now time.Time) {
	for _, c := range of {
		if c.telling--; c.telling == 0 {
			c.silent = now
		}
	}
}
