package linger_test

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/batching"
	"github.com/hikyaku-chat/hikyaku/internal/linger"
)

const longest = 4 * time.Millisecond

// traffic is what became of simulated items.
type traffic struct {
	batches, items int
	total, worst   time.Duration // of the items' times at the hop, work included
}

func (t *traffic) mean() time.Duration { return t.total / time.Duration(t.items) }
func (t *traffic) perBatch() float64   { return float64(t.items) / float64(t.batches) }

// simulate has items arrive at a hop at random times with an average rate, for some
// seconds. The hop handles one batch at a time, and a batch takes work.
func simulate(t *testing.T, l *linger.Linger, perSecond float64, work time.Duration) (seen traffic) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a simulation
		ctx, stop := context.WithCancel(t.Context())
		queue := batching.NewQueue[time.Time]()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for queue.Ready().Wait(ctx) {
				for queue.Len() > 0 {
					first := queue.Take(1)
					l.Wait(first[0])
					queue.PutBack(first)
					batch := queue.Take(0)
					time.Sleep(work)
					seen.batches++
					seen.items += len(batch)
					for _, arrived := range batch {
						took := time.Since(arrived)
						seen.total += took
						seen.worst = max(seen.worst, took)
					}
				}
			}
		}()
		for began := time.Now(); time.Since(began) < 5*time.Second; {
			time.Sleep(time.Duration(random.ExpFloat64() / perSecond * float64(time.Second)))
			now := time.Now()
			l.Count(1, now)
			queue.Add(now)
		}
		synctest.Wait()
		time.Sleep(time.Second)
		stop()
		<-ended
	})
	return seen
}

// One person who talks, and a few, wait for nothing.
func TestQuietHopDoesNotWait(t *testing.T) {
	const work = 100 * time.Microsecond
	for _, perSecond := range []float64{1, 10, 60} {
		with, without := simulate(t, linger.New(longest), perSecond, work), simulate(t, nil, perSecond, work)
		if with != without {
			t.Errorf("%v items a second: %+v, and without a linger %+v", perSecond, with, without)
		}
	}
}

// Where items are frequent, they leave together, and none waits for longer than the
// longest wait.
func TestFrequentItemsLeaveTogether(t *testing.T) {
	const work = 100 * time.Microsecond
	for _, perSecond := range []float64{600, 1200, 5000} {
		seen := simulate(t, linger.New(longest), perSecond, work)
		expected := 1 + perSecond*longest.Seconds()
		if seen.perBatch() < 0.6*expected {
			t.Errorf("%v items a second: %.1f in a batch", perSecond, seen.perBatch())
		}
		if bound := longest + 2*work; seen.worst > bound {
			t.Errorf("%v items a second: one took %v, more than %v", perSecond, seen.worst, bound)
		}
		departures := int(5 * time.Second / longest)
		before := int(perSecond / 10) // at most, until it is noticed how frequent they are
		if seen.batches > departures+before {
			t.Errorf("%v items a second: %d batches at %d departures", perSecond, seen.batches, departures)
		}
	}
}

// A hop whose batches take longer than the longest wait is as fast as without one.
func TestBusyHopIsNotSlowedDown(t *testing.T) {
	const work = 3 * longest
	with, without := simulate(t, linger.New(longest), 5000, work), simulate(t, nil, 5000, work)
	if with.mean() > without.mean()+longest/2 {
		t.Errorf("items take %v, and without a linger %v", with.mean(), without.mean())
	}
	if math.Abs(with.perBatch()-without.perBatch()) > 0.1*without.perBatch() {
		t.Errorf("%.1f items in a batch, and without a linger %.1f", with.perBatch(), without.perBatch())
	}
}

// Those of several lanes and processes depart at the same moments.
func TestDeparturesCoincide(t *testing.T) {
	one, other := frequent(time.Unix(1000, 0)), frequent(time.Unix(1000, 1234567))
	now := time.Unix(1001, 1)
	if a, b := one.Remaining(now, now), other.Remaining(now, now); a != b || a != longest-1 {
		t.Errorf("%v and %v", a, b)
	}
}

// frequent returns a linger at which a thousand items have arrived.
func frequent(at time.Time) *linger.Linger {
	l := linger.New(longest)
	l.Count(0, at)
	l.Count(1000, at.Add(100*time.Millisecond))
	return l
}

// A clock that is set back, or forth, has nothing wait for longer.
func TestClockThatIsSet(t *testing.T) {
	began := time.Unix(1000, 0)
	l := frequent(began)
	for _, step := range []time.Duration{-time.Hour, -longest, longest, time.Hour} {
		if wait := l.Remaining(began, began.Add(step)); wait < 0 || wait > longest {
			t.Errorf("by %v: %v", step, wait)
		}
	}
}

// After a pause the first items wait for nothing.
func TestPauseEndsIt(t *testing.T) {
	began := time.Unix(1000, 0)
	l := frequent(began)
	later := began.Add(time.Minute)
	l.Count(1, later)
	if wait := l.Remaining(later, later); wait != 0 {
		t.Errorf("waits %v", wait)
	}
}
