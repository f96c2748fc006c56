// Package snowflake makes 64-bit, time-ordered ids: 41 bits of milliseconds since
// [Epoch], 10 bits of a node number, 12 bits of a count within the millisecond
// (the layout that Twitter's Snowflake made known). No two processes may make
// ids with the same node number at the same time.
package snowflake

import (
	"fmt"
	"sync"
	"time"
)

// Epoch is the time that ids count from. They last until 2095.
var Epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// MaxNode is the highest node number.
const MaxNode = 1<<10 - 1

const (
	nodeBits     = 10
	sequenceBits = 12
	maxSequence  = 1<<sequenceBits - 1
)

// Generator makes ids for one node. It is safe for concurrent use.
type Generator struct {
	node int64
	now  func() time.Time

	mu       sync.Mutex
	last     int64 // milliseconds since Epoch of the last id
	sequence int64
}

// NewGenerator makes ids as the given node, 0 to MaxNode. now is the clock,
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

// Next is an id above every one that the maker gave before. When the clock
// goes back, or a millisecond is used up, ids run ahead of the clock instead
// of waiting for it.
func (m *Generator) Next() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	ms := m.now().Sub(Epoch).Milliseconds()
	switch {
	case ms > m.last:
		m.last, m.sequence = ms, 0
	case m.sequence < maxSequence:
		m.sequence++
	default:
		m.last, m.sequence = m.last+1, 0
	}
	return m.last<<(nodeBits+sequenceBits) | m.node<<sequenceBits | m.sequence
}

// Time is when an id was made, to the millisecond.
func Time(id int64) time.Time {
	return Epoch.Add(time.Duration(id>>(nodeBits+sequenceBits)) * time.Millisecond)
}
