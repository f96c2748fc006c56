package throttle

import (
	"sync/atomic"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/batching"
)

// unsynced is the list of the buckets whose tokens the other processes should
// hear of. It is a lock-free stack that is linked through the buckets, because
// messages add to it.
type unsynced struct {
	threshold int64 // tokens of a bucket before it is listed, so that not each of them is synchronised
	head      atomic.Pointer[Bucket]
	ready     batching.Signal // notified when there is one where there was none
}

// add counts a token of b.
func (u *unsynced) add(b *Bucket) {
	if b.tokens.Add(1) >= u.threshold {
		u.list(b)
	}
}

func (u *unsynced) list(b *Bucket) {
	if !b.listed.CompareAndSwap(false, true) {
		return
	}
	for {
		next := u.head.Load()
		b.next = next
		if u.head.CompareAndSwap(next, b) {
			if next == nil {
				u.ready.Notify()
			}
			return
		}
	}
}

// Unsynced returns the buckets whose tokens should be synchronised with the other
// processes: those that gave an eighth of a burst or were released. It returns
// each once, until it gives more. It must not be called concurrently.
func (l *Limiter) Unsynced() (buckets []*Bucket) {
	for b := l.unsynced.head.Swap(nil); b != nil; {
		next := b.next
		b.listed.Store(false) // from here on it may be listed again
		buckets = append(buckets, b)
		b = next
	}
	return buckets
}

// Ready returns the signal that is notified when Unsynced has something to return.
func (l *Limiter) Ready() batching.Signal { return l.unsynced.ready }

// Key returns the key of the bucket.
func (b *Bucket) Key() string { return b.key }

// TakeUnsynced returns the number of tokens that were taken since the last call.
func (b *Bucket) TakeUnsynced() int64 { return b.tokens.Swap(0) }

// Merge merges the state of the shared bucket, which contains all tokens that
// TakeUnsynced returned: the time until it is full. That may be longer than an
// empty bucket needs. Then the processes together gave too many tokens, and this
// bucket gives none until the difference is made up for.
func (b *Bucket) Merge(untilFull time.Duration) {
	shared := b.limiter.sinceEpoch() + int64(untilFull)
	for {
		old := b.fullAt.Load()
		fullAt := max(old, shared+b.tokens.Load()*int64(b.limiter.interval))
		if old == fullAt || b.fullAt.CompareAndSwap(old, fullAt) {
			return
		}
	}
}
