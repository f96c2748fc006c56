package batching

import "sync/atomic"

// Meter counts batches and the items in them, for the operator: their ratio is
// how large a hop's batches are. The zero Meter has counted nothing. Its methods
// may be called concurrently.
type Meter struct{ batches, items atomic.Uint64 }

// Count counts one batch of a number of items, from 0.
func (m *Meter) Count(items int) { m.Add(1, items) }

// Add counts several batches and all the items in them, both from 0.
func (m *Meter) Add(batches, items int) {
	m.batches.Add(uint64(batches)) //nolint:gosec // a count
	m.items.Add(uint64(items))     //nolint:gosec // a count
}

// Totals returns how many batches and items were counted. A batch that is being
// counted at the same time may be in one of the two only.
func (m *Meter) Totals() (batches, items uint64) { return m.batches.Load(), m.items.Load() }
