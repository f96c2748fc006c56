package embedded

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const (
	target   = 200 * time.Millisecond
	minTaken = 1_000
	maxTaken = 20_000
	maxBatch = 1_000
)

// server is a store in a simulation: it stores batches of up to maxBatch, one after
// the other, each in a time that varies.
type server struct {
	perSecond float64       // submissions in batches without an end
	overhead  time.Duration // of each batch
	jitter    float64       // each batch takes up to so many times as long
	stallAt   time.Duration // when it stops for a while
	stallFor  time.Duration
}

// outcome is what became of the submissions of a simulation after its begin.
type outcome struct {
	offered, taken, refused, stored int
	waits                           []time.Duration // of those that were taken
	longest                         int64           // the most that waited at once
}

func (o *outcome) p95() time.Duration {
	slices.Sort(o.waits)
	return o.waits[len(o.waits)*95/100]
}

// waiting is a submission that was taken.
type waiting struct {
	arrived time.Duration
	ahead   int64
}

// simulate offers submissions at random times for a while, and counts after the
// begin. It returns when all that were taken are stored.
func simulate(a *admission, s server, offered func(at time.Duration) float64, begin, length time.Duration, seed uint64) (o outcome) {
	random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a simulation
	var queue, batch []waiting
	free := time.Duration(math.MaxInt64) // when the batch in work is stored
	start := func(now time.Duration) {
		n := min(len(queue), maxBatch)
		if n == 0 {
			batch, free = nil, math.MaxInt64
			return
		}
		batch, queue = queue[:n:n], queue[n:]
		took := s.overhead + time.Duration(float64(n)/s.perSecond*float64(time.Second))
		took += time.Duration(float64(took) * s.jitter * random.Float64())
		if s.stallFor > 0 && now <= s.stallAt && s.stallAt < now+took {
			took += s.stallFor
		}
		free = now + took
	}
	for next := time.Duration(0); next < length || batch != nil; {
		if batch != nil && free <= next || next >= length {
			now := free
			for _, w := range batch {
				if now >= begin && now < length {
					o.stored++
				}
				if w.arrived >= begin {
					o.waits = append(o.waits, now-w.arrived)
				}
			}
			newest := batch[len(batch)-1]
			a.learn(newest.ahead, now-newest.arrived)
			a.leave(len(batch))
			start(now)
			continue
		}
		if next >= begin {
			o.offered++
		}
		if ahead, ok := a.enter(); ok {
			queue = append(queue, waiting{next, ahead})
			o.longest = max(o.longest, a.waiting.Load())
			if next >= begin {
				o.taken++
			}
		} else if next >= begin {
			o.refused++
		}
		if batch == nil && len(queue) > 0 {
			start(next)
		}
		next += time.Duration(random.ExpFloat64() / offered(next) * float64(time.Second))
	}
	return o
}

func always(perSecond float64) func(time.Duration) float64 {
	return func(time.Duration) float64 { return perSecond }
}

// drawServer returns a store of any speed, and how long a full batch takes it.
func drawServer(t *rapid.T) (s server, batch time.Duration) {
	s = server{
		perSecond: rapid.Float64Range(10_000, 50_000).Draw(t, "per second"),
		overhead:  time.Duration(rapid.Int64Range(100, 5_000).Draw(t, "overhead, µs")) * time.Microsecond,
		jitter:    rapid.Float64Range(0, 0.5).Draw(t, "jitter"),
	}
	return s, time.Duration((float64(s.overhead) + maxBatch/s.perSecond*float64(time.Second)) * (1 + s.jitter/2))
}

// Whatever the store's speed, and however much too much is offered: it is kept busy,
// what is taken waits for about as long as it may, and what is not taken is refused.
func TestOverloadIsTakenInTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, batch := drawServer(t)
		sustained := maxBatch / batch.Seconds()
		times := rapid.Float64Range(1.3, 4).Draw(t, "times as much")
		const begin, length = time.Second, 2 * time.Second
		a := newAdmission(target, minTaken, maxTaken)
		o := simulate(a, s, always(times*sustained), begin, length, rapid.Uint64().Draw(t, "seed"))
		if o.refused+o.taken != o.offered || len(o.waits) != o.taken {
			t.Fatalf("of %d, %d were refused and %d taken, of which %d stored", o.offered, o.refused, o.taken, len(o.waits))
		}
		// A batch may be in work at both ends.
		if expected := sustained * (length - begin).Seconds(); float64(o.stored) < 0.95*expected-maxBatch {
			t.Errorf("%d of %.0f were stored", o.stored, expected)
		}
		// A limit is learnt from batches that vary, and all of a batch wait for its end.
		if bound := max(target, minTaken*batch/maxBatch)*5/4 + 2*batch; o.p95() > bound {
			t.Errorf("the p95 of the wait is %v, above %v", o.p95(), bound)
		}
		if a.waiting.Load() != 0 || o.longest > maxTaken {
			t.Errorf("%d wait in the end, and %d did at most", a.waiting.Load(), o.longest)
		}
	})
}

// Nothing is refused of what the store can keep up with, nor of a burst that it can
// store in time.
func TestWhatIsStoredInTimeIsTaken(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, batch := drawServer(t)
		sustained := maxBatch / batch.Seconds()
		usual := rapid.Float64Range(0.01, 0.8).Draw(t, "load") * sustained
		burst := func(at time.Duration) float64 {
			if at%time.Second < 50*time.Millisecond {
				return 2 * sustained // a twentieth of a second's worth waits afterwards
			}
			return usual / 2
		}
		for name, offered := range map[string]func(time.Duration) float64{"steady": always(usual), "bursts": burst} {
			a := newAdmission(target, minTaken, maxTaken)
			if o := simulate(a, s, offered, 0, 2*time.Second, rapid.Uint64().Draw(t, "seed")); o.refused > 0 {
				t.Errorf("%s: %d of %d were refused", name, o.refused, o.offered)
			}
		}
	})
}

// A store that stops for a while, and refuses for that while, takes as much as before
// soon after.
func TestStallIsForgotten(t *testing.T) {
	s := server{perSecond: 40_000, overhead: time.Millisecond, stallAt: time.Second, stallFor: 2 * time.Second}
	a := newAdmission(target, minTaken, maxTaken)
	simulate(a, s, always(60_000), 0, 5*time.Second, 1)
	if limit, expected := float64(a.limit.Load()), 40_000*target.Seconds(); limit < expected/2 || limit > expected*5/4 {
		t.Errorf("%.0f may wait, with %.0f stored in time", limit, expected)
	}
}

// What was refused counts nowhere, and a spell of refusals ends when half are stored.
func TestRefusalsComeInSpells(t *testing.T) {
	a := newAdmission(target, 10, 100)
	for n := range int64(100) {
		if ahead, ok := a.enter(); !ok || ahead != n {
			t.Fatalf("the submission behind %d: %v, %v", n, ahead, ok)
		}
	}
	for n := 100; n > 50; n-- {
		if _, ok := a.enter(); ok || !a.refusing() {
			t.Fatalf("one is taken while %d wait", n)
		}
		a.leave(1)
	}
	if _, ok := a.enter(); !ok || a.refusing() {
		t.Error("none is taken while half as many wait")
	}
}
