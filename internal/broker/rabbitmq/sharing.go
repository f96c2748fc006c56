package rabbitmq

import "time"

// sharing decides how many workers share the partitions.
//
// What a batch costs is nearly the same whatever is in it: a transaction, an
// announcement to each gateway, their wake-ups. So at low rates one worker has all
// partitions, and the others stand by: two would make twice as many batches of half
// the size. When fullBatch messages or more wait or are in work at one worker, its
// batches are large, and twice as many of half the size cost little more: then twice
// as many workers share.
//
// The worker that leads decides, by the largest backlog of those that share. One that
// cannot store, or hangs, gathers messages too, and so shares with others.
//
// The zero sharing is ready to be used. One goroutine uses it.
type sharing struct {
	busy    int // samples in a row with fullBatch or more
	samples int // since the number was looked at last for whether fewer suffice, to quietSamples
	sum     int // of the average backlogs in these samples
}

const (
	// sampleInterval is the time between two samples.
	sampleInterval = rebalanceDelay / 2
	// busySamples is how many samples in a row must show it, so that a disk that
	// stalls for a moment moves nothing.
	busySamples = 4
	// quietSamples is over how many samples the backlog of one worker must be below
	// quietBacklog on average before half as many share: moving costs each partition a
	// moment's wait.
	quietSamples = int(15 * time.Second / sampleInterval)
	quietBacklog = fullBatch / 8
)

// sample takes the numbers of messages that wait or are in work at a worker, at least
// for a moment and on average, while workers of them share the partitions out of live
// ones, and returns how many should share from now on, 1 to live.
func (s *sharing) sample(least, average, workers, live int) int {
	workers = max(1, min(workers, live))
	if least >= fullBatch {
		if s.busy++; s.busy >= busySamples {
			*s = sharing{}
			return min(2*workers, live)
		}
	} else {
		s.busy = 0
	}
	s.sum += average
	if s.samples++; s.samples < quietSamples {
		return workers
	}
	mean := s.sum / s.samples
	s.samples, s.sum = 0, 0
	if mean >= quietBacklog {
		return workers
	}
	return (workers + 1) / 2
}
