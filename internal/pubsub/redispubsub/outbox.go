package redispubsub

import (
	"encoding/binary"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/pubsub"
	"github.com/hikyaku-chat/hikyaku/internal/varint"
)

const (
	// maxPending is how many bytes may be queued for Redis.
	maxPending = 64 << 20
	// maxMessage is about how many bytes a message has at most, unless a single
	// item has more. Redis disconnects a subscriber for which 32 MiB are queued,
	// by default, and writes 64 KiB to each in a turn in which it reads one
	// message: larger ones would gather there although the subscriber reads.
	maxMessage = 64 << 10
	// maxPipeline is how many bytes are published before Redis has answered, so
	// that it has sent most of them when more come.
	maxPipeline = 4 << 20

	heartbeatInterval = time.Second
	// channelTTL is how long heartbeats announce the number of a channel after
	// the last message on it, and how long a node remembers a silent publisher.
	channelTTL = time.Minute
	// heartbeatsPerMessage is how many heartbeats that is. They are counted, not
	// timed: a heartbeat that failed has announced nothing.
	heartbeatsPerMessage = int(channelTTL / heartbeatInterval)
	// channelRetention is how long a silent channel is kept: longer than any node
	// remembers its numbers.
	channelRetention = 2 * channelTTL
)

// outbox is what is queued for Redis, by channel, with the last numbers. It is not
// safe for concurrent use.
type outbox struct {
	publisher uint64
	channels  map[string]*channel
	pending   int // bytes
	// maxForgotten is the highest number of all channels that were deleted. A
	// channel that is used again continues above it: a node that was busy and
	// still remembers the old numbers would ignore lower ones.
	maxForgotten uint64
}

// channel is what is queued for a channel, and its last number.
type channel struct {
	number  uint64 // last used
	waiting []part
	spare   part // buffers of a part that was sent, for reuse
	// heartbeatsLeft is how many heartbeats are still to announce the number. At
	// 0 the channel is silent, since silentSince: every node has received the
	// number often enough, or has reported a gap, so the next message is a reset.
	heartbeatsLeft int
	silentSince    time.Time
}

// part is a message without its number.
type part struct {
	envelopes []byte
	count     uint64 // of envelopes
	items     int
	sections  sections
}

// size returns about how many bytes the part has.
func (p *part) size() int { return len(p.envelopes) + p.sections.size() }

// message is an encoded message for the channel of a node.
type message struct {
	node  string
	items int // 0 in a heartbeat
	bytes []byte
}

func newOutbox(publisher uint64) *outbox {
	return &outbox{publisher: publisher, channels: map[string]*channel{}}
}

// enqueue queues an envelope for a node, a large one as several. When too much is
// queued, the rest of it is lost, which the node will notice. So is an item that
// Redis would disconnect the node for.
func (o *outbox) enqueue(node string, e *pubsub.Envelope) error {
	c := o.channels[node]
	if c == nil {
		c = &channel{number: o.maxForgotten}
		o.channels[node] = c
	}
	for items := e.Items; ; {
		n, size := fitting(items)
		if size > maxPipeline || o.pending+size > maxPending {
			c.number++
			c.heartbeatsLeft = heartbeatsPerMessage
			return errFull
		}
		o.pending += c.enqueue(&pubsub.Envelope{Items: items[:n]}, size)
		if items = items[n:]; len(items) == 0 {
			return nil
		}
	}
}

// fitting returns how many of the items, one at least, fit into a message, and
// about how many bytes these have.
func fitting(items []pubsub.Item) (n, size int) {
	for ; n < len(items); n++ {
		of := itemSize(&items[n])
		if n > 0 && size+of > maxMessage {
			break
		}
		size += of
	}
	return n, size
}

// enqueue queues an envelope of about size bytes, and returns how many it has.
func (c *channel) enqueue(e *pubsub.Envelope, size int) int {
	last := len(c.waiting) - 1
	if last < 0 || c.waiting[last].size()+size > maxMessage {
		c.waiting = append(c.waiting, c.spare)
		c.spare = part{}
		last++
	}
	p := &c.waiting[last]
	before := p.size()
	p.envelopes = appendEnvelope(p.envelopes, e)
	p.count++
	p.items += len(e.Items)
	p.sections.add(e)
	return p.size() - before
}

// flush returns what is queued as messages, in the order of each channel.
func (o *outbox) flush() (out []message) {
	for node, c := range o.channels {
		for _, p := range c.waiting {
			kind := byte(kindData)
			if c.heartbeatsLeft == 0 {
				kind = kindReset
			}
			c.number++
			c.heartbeatsLeft = heartbeatsPerMessage
			b := make([]byte, 0, p.size()+32)
			b = appendHeader(b, header{kind: kind, publisher: o.publisher, number: c.number, count: p.count})
			b = append(b, p.envelopes...)
			out = append(out, message{node: node, items: p.items, bytes: p.sections.appendTo(b)})
			if cap(p.envelopes) <= 4*maxMessage {
				c.spare = part{envelopes: p.envelopes[:0], sections: p.sections.emptied()}
			}
		}
		clear(c.waiting)
		c.waiting = c.waiting[:0]
	}
	o.pending = 0
	return out
}

// heartbeat returns a message that announces to all nodes the last numbers of
// channels, and these channels. It deletes channels that have been silent for
// long.
func (o *outbox) heartbeat(now time.Time) (m message, of []*channel) {
	var numbers []byte
	for node, c := range o.channels {
		switch {
		case len(c.waiting) > 0:
			continue // its next message announces the number
		case c.heartbeatsLeft == 0:
			if now.Sub(c.silentSince) > channelRetention {
				o.maxForgotten = max(o.maxForgotten, c.number)
				delete(o.channels, node)
			}
			continue
		}
		numbers = varint.AppendBytes(numbers, node)
		numbers = binary.AppendUvarint(numbers, c.number)
		of = append(of, c)
	}
	b := appendHeader(nil, header{kind: kindHeartbeat, publisher: o.publisher, count: uint64(len(of))})
	return message{node: broadcastName, bytes: append(b, numbers...)}, of
}

// heartbeatSent records that a heartbeat of these channels was published.
func heartbeatSent(of []*channel, now time.Time) {
	for _, c := range of {
		if c.heartbeatsLeft--; c.heartbeatsLeft == 0 {
			c.silentSince = now
		}
	}
}
