// Package snowflake generates 64-bit, time-ordered ids: 41 bits of milliseconds
// since [Epoch], 10 bits of node number, 12 bits of sequence number within the
// millisecond (the layout of Twitter's Snowflake). No two processes may use the same
// node number at the same time.
package snowflake

import (
	"fmt"
	"sync"
	"time"
)

// Epoch is the start of the time in ids. The time lasts until 2095.
var Epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// MaxNode is the highest node number.
const MaxNode = 1<<10 - 1

const (
	nodeBits     = 10
	sequenceBits = 12
	maxSequence  = 1<<sequenceBits - 1
)

// Generator generates the ids of one node. It is safe for concurrent use.
type Generator struct {
	node int64
	now  func() time.Time

	mu       sync.Mutex
	last     int64 // milliseconds since Epoch of the last id
	sequence int64
}

// NewGenerator returns a generator for a node, 0 to MaxNode. now is the clock;
// time.Now when nil.
func NewGenerator(node int, now func() time.Time) (*Generator, error) {
	if node < 0 || node > MaxNode {
		return nil, fmt.Errorf("the node number %d is not between 0 and %d", node, MaxNode)
	}
	if now == nil {
		now = time.Now
	}
	return &Generator{node: int64(node), now: now}, nil
}

// Next returns an id that is larger than all earlier ones of the generator. When the
// clock goes back, or the sequence numbers of a millisecond are used up, ids run
// ahead of the clock; Next does not wait.
func (g *Generator) Next() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	ms := g.now().Sub(Epoch).Milliseconds()
	switch {
	case ms > g.last:
		g.last, g.sequence = ms, 0
	case g.sequence < maxSequence:
		g.sequence++
	default:
		g.last, g.sequence = g.last+1, 0
	}
	return g.last<<(nodeBits+sequenceBits) | g.node<<sequenceBits | g.sequence
}

// Time returns the time in an id, in milliseconds.
func Time(id int64) time.Time {
	return Epoch.Add(time.Duration(id>>(nodeBits+sequenceBits)) * time.Millisecond)
}
