package throttle

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// All holders of a key's bucket share it, and so does Take.
func TestBucketIsShared(t *testing.T) {
	l := must(NewLimiter(0.001, 4))
	phone, laptop := l.Acquire("aki"), l.Acquire("aki")
	take := func(who string, wait time.Duration) {
		t.Helper()
		if wait != 0 {
			t.Errorf("%s waits %v", who, wait)
		}
	}
	byKey := func() time.Duration {
		wait, _ := l.Take(t.Context(), "aki")
		return wait
	}
	take("the phone", phone.Take())
	take("the laptop", laptop.Take())
	take("the API", byKey())
	phone.Release()
	laptop.Release()
	tablet := l.Acquire("aki") // comes later, and has no new burst
	defer tablet.Release()
	take("the tablet", tablet.Take())
	for who, wait := range map[string]time.Duration{"the tablet": tablet.Take(), "the API": byKey()} {
		if wait < 990*time.Second || wait > 1000*time.Second {
			t.Errorf("%s waits %v for the fifth token", who, wait)
		}
	}
}

// A bucket with a holder is never evicted.
func TestHeldBucketsStay(t *testing.T) {
	l := must(NewLimiter(0.001, 1))
	l.maxKeys = 10
	b := l.Acquire("aki")
	b.Take()
	for i := range 100 {
		_, _ = l.Take(t.Context(), string(rune('a'+i)))
	}
	if wait, _ := l.Take(t.Context(), "aki"); wait == 0 {
		t.Error("there is a second bucket")
	}
	b.Release()
}

// Each token is synchronised once, under all interleavings.
func TestEachTokenIsSyncedOnce(t *testing.T) {
	for _, burst := range []int{5, 100} {
		l := must(NewReplica(1e6, burst))
		var given, synced atomic.Int64
		done := make(chan struct{})
		drain := func() {
			for _, b := range l.Unsynced() {
				synced.Add(b.TakeUnsynced())
			}
		}
		var syncer, takers sync.WaitGroup
		syncer.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					drain()
				}
			}
		})
		for i := range 8 {
			takers.Go(func() {
				for range 200 {
					b := l.Acquire(string(rune('a' + i%3)))
					for range 10 {
						if b.Take() == 0 {
							given.Add(1)
						}
					}
					b.Release()
				}
			})
		}
		takers.Wait()
		close(done)
		syncer.Wait()
		drain()
		if given.Load() != synced.Load() {
			t.Errorf("%d tokens were given, %d synchronised", given.Load(), synced.Load())
		}
	}
}

// The tokens of other processes count, and those of this process count once.
func TestMerge(t *testing.T) {
	now := time.Unix(0, 0)
	l := must(NewReplica(1, 10)).WithNow(func() time.Time { return now })
	b := l.Acquire("aki")
	defer b.Release()
	for range 4 {
		b.Take()
	}
	if n := b.TakeUnsynced(); n != 4 {
		t.Errorf("%d tokens are not synchronised", n)
	}
	b.Take()                 // during the synchronisation
	b.Merge(6 * time.Second) // four of this process, two of others
	b.Merge(3 * time.Second) // an older answer
	for i, wait := range []time.Duration{0, 0, 0, time.Second} {
		if got := b.Take(); got != wait {
			t.Errorf("token %d waits %v, want %v", 8+i, got, wait)
		}
	}
	b.TakeUnsynced()
	b.Merge(15 * time.Second) // the others gave too many
	if got := b.Take(); got != 6*time.Second {
		t.Errorf("with a debt the wait is %v", got)
	}
}

func BenchmarkBucket(b *testing.B) {
	for name, l := range map[string]*Limiter{"alone": must(NewLimiter(1e9, 1e6)), "replica": must(NewReplica(1e9, 1e6))} {
		b.Run(name, func(b *testing.B) {
			bucket := l.Acquire("aki")
			defer bucket.Release()
			b.ReportAllocs()
			for b.Loop() {
				bucket.Take()
			}
		})
	}
}

// must returns a limiter whose limits are valid.
func must(l *Limiter, err error) *Limiter {
	if err != nil {
		panic(err)
	}
	return l
}

// Whoever synchronises is woken when there is something, and only then.
func TestReadyWhenThereIsSomething(t *testing.T) {
	l := must(NewReplica(1e6, 16)) // listed from two tokens on
	ready := func() bool {
		select {
		case <-l.Ready():
			return true
		default:
			return false
		}
	}
	b := l.Acquire("aki")
	defer b.Release()
	for range 3 {
		if b.Take(); ready() {
			t.Error("ready for a token that need not be synchronised")
		}
		if b.Take(); !ready() || ready() {
			t.Error("not ready once for what must be synchronised")
		}
		if b.Take(); ready() {
			t.Error("ready again for the same bucket")
		}
		for _, listed := range l.Unsynced() {
			listed.TakeUnsynced()
		}
	}
}
