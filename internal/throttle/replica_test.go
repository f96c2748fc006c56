package throttle

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// All who hold a key's bucket, and who take by the key, share it.
func TestBucketIsShared(t *testing.T) {
	l := NewLimiter(0.001, 4)
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
	tablet := l.Acquire("aki") // comes later, and gets no new burst
	defer tablet.Release()
	take("the tablet", tablet.Take())
	for who, wait := range map[string]time.Duration{"the tablet": tablet.Take(), "the API": byKey()} {
		if wait < 990*time.Second || wait > 1000*time.Second {
			t.Errorf("%s waits %v for the fifth turn", who, wait)
		}
	}
}

// A bucket that is held is never forgotten, however many keys there are.
func TestHeldBucketsStay(t *testing.T) {
	l := NewLimiter(0.001, 1)
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

// Each turn that was given is settled once, whatever comes between.
func TestEachTurnIsSettledOnce(t *testing.T) {
	for _, burst := range []int{5, 100} {
		l := NewReplica(1e6, burst)
		var given, settled atomic.Int64
		done := make(chan struct{})
		settle := func() {
			for _, b := range l.Owing() {
				settled.Add(b.Settle())
			}
		}
		var settler, takers sync.WaitGroup
		settler.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					settle()
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
		settler.Wait()
		settle()
		if given.Load() != settled.Load() {
			t.Errorf("%d turns were given, %d settled", given.Load(), settled.Load())
		}
	}
}

// What others gave counts, and does not make what was given here count twice.
func TestAdopt(t *testing.T) {
	now := time.Unix(0, 0)
	l := NewReplica(1, 10).WithNow(func() time.Time { return now })
	b := l.Acquire("aki")
	defer b.Release()
	for range 4 {
		b.Take()
	}
	if n := b.Settle(); n != 4 {
		t.Errorf("%d turns are owed", n)
	}
	b.Take()                 // while the others are told
	b.Adopt(6 * time.Second) // four of here, two of others
	b.Adopt(3 * time.Second) // an answer that was overtaken
	for i, wait := range []time.Duration{0, 0, 0, time.Second} {
		if got := b.Take(); got != wait {
			t.Errorf("turn %d waits %v, want %v", 8+i, got, wait)
		}
	}
	b.Settle()
	b.Adopt(15 * time.Second) // the others gave too much
	if got := b.Take(); got != 6*time.Second {
		t.Errorf("with a debt the wait is %v", got)
	}
}

func BenchmarkBucket(b *testing.B) {
	for name, l := range map[string]*Limiter{"alone": NewLimiter(1e9, 1e6), "replica": NewReplica(1e9, 1e6)} {
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
