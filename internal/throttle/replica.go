package throttle

import (
	"sync/atomic"
	"time"
)

// owing is the list of buckets whose turns the other processes should hear of.
// It takes no lock and allocates nothing: adding to it is on the way of every
// message.
type owing struct {
	atLeast int64 // what a bucket owes before it is listed, so that not every turn is told of
	first   atomic.Pointer[Bucket]
}

func (o *owing) add(b *Bucket) {
	if b.owed.Add(1) >= o.atLeast {
		o.list(b)
	}
}

func (o *owing) list(b *Bucket) {
	if !b.listed.CompareAndSwap(false, true) {
		return
	}
	for {
		b.next = o.first.Load()
		if o.first.CompareAndSwap(b.next, b) {
			return
		}
	}
}

// Owing returns the buckets that gave an eighth of a burst or more since they
// were settled, or were released, and that were not returned since. One
// goroutine may call it.
func (l *Limiter) Owing() (all []*Bucket) {
	for b := l.owing.first.Swap(nil); b != nil; {
		next := b.next
		b.listed.Store(false) // and may be listed again from here on
		all = append(all, b)
		b = next
	}
	return all
}

// Key is what the bucket is for.
func (b *Bucket) Key() string { return b.key }

// Settle returns how many turns were taken since the last call.
func (b *Bucket) Settle() (turns int64) { return b.owed.Swap(0) }

// Adopt takes in that the bucket that all processes share, in which there is
// all that was settled here, is full again after so long. It may be longer than
// an empty bucket takes: then the processes together gave too much, and this
// one gives nothing until that is made up for.
func (b *Bucket) Adopt(untilFull time.Duration) {
	shared := b.limiter.sinceEpoch() + int64(untilFull)
	for {
		had := b.full.Load()
		full := max(had, shared+b.owed.Load()*int64(b.limiter.interval))
		if had == full || b.full.CompareAndSwap(had, full) {
			return
		}
	}
}
