package rabbitmq

import (
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// workload is how messages come to workers that share them equally, in a simulation
// of [sharing]. A batch takes perBatch and perMessage for each message in it, and
// takes what came during the one before: so with a rate r at one worker there are, on
// average, r * perBatch / (1 - r * perMessage) in a batch, as many wait, and it never
// catches up when r * perMessage is 1 or more.
type workload struct {
	perBatch, perMessage time.Duration
	rate                 float64 // messages a second
}

// backlog returns what one of some workers has at a random moment.
func (w workload) backlog(workers int, random *rand.Rand) int {
	each := w.rate / float64(workers)
	busy := each * w.perMessage.Seconds()
	if busy >= 1 {
		return 10_000
	}
	mean := each * w.perBatch.Seconds() / (1 - busy)
	return int(mean * (0.5 + random.Float64())) // waiting ones come and go
}

// run returns how many of some live workers share after a time, and how often that
// has changed.
func (w workload) run(s *sharing, workers, live int, d time.Duration, random *rand.Rand) (now, changes int) {
	for range int(d / sampleInterval) {
		backlog := w.backlog(workers, random)
		next := s.sample(backlog, backlog, workers, live)
		if next != workers {
			workers = next
			changes++
		}
	}
	return workers, changes
}

// One worker has all partitions at low rates, all have some at high ones, both soon
// after the rate has changed, and at a rate in between they do not move to and fro.
func TestSharing(t *testing.T) {
	const live = 8
	random := rand.New(rand.NewPCG(1, 2))
	w := workload{perBatch: 4 * time.Millisecond, perMessage: 50 * time.Microsecond}
	var s sharing
	workers := 1
	for _, step := range []struct {
		rate            float64
		after           time.Duration
		least, most     int
		mayChangeAtMost int
	}{
		{0, time.Minute, 1, 1, 0},
		{1200, time.Minute, 1, 1, 0},
		{4000, time.Minute, 1, 1, 0},
		{100_000, 5 * time.Second, live, live, 3},
		{100_000, time.Minute, live, live, 0},
		{1200, time.Minute, 1, 1, 3},
		{15_000, time.Minute, 2, 4, 2},
		{15_000, time.Hour, 2, 4, 1},
	} {
		w.rate = step.rate
		var changes int
		workers, changes = w.run(&s, workers, live, step.after, random)
		if workers < step.least || workers > step.most || changes > step.mayChangeAtMost {
			t.Errorf("%v after the rate is %v/s, %d share, %d changes; want %d to %d, and at most %d",
				step.after, step.rate, workers, changes, step.least, step.most, step.mayChangeAtMost)
		}
	}
}

// A moment in which nothing is done, such as that of a disk that stalls, moves nothing.
func TestSharingOutlastsAStall(t *testing.T) {
	var s sharing
	for i := range 10_000 {
		backlog := 5
		if i%busySamples != 0 { // of a second, all but one
			backlog = 10_000
		}
		if got := s.sample(backlog, backlog, 1, 4); got != 1 {
			t.Fatalf("%d share after a stall of %d samples", got, busySamples-1)
		}
	}
}

// Whatever happens, the number is between 1 and that of the live workers, and it
// doubles or halves.
func TestSharingIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s sharing
		workers := 1
		for range rapid.IntRange(1, 500).Draw(t, "samples") {
			live := rapid.IntRange(1, 9).Draw(t, "live")
			before := min(workers, live)
			backlog := rapid.IntRange(0, 4*fullBatch).Draw(t, "backlog")
			workers = s.sample(backlog, backlog, workers, live)
			if workers < 1 || workers > live {
				t.Fatalf("%d of %d share", workers, live)
			}
			if workers != before && workers != min(2*before, live) && workers != (before+1)/2 {
				t.Fatalf("%d share, and then %d", before, workers)
			}
		}
	})
}
