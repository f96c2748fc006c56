package load

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

const (
	// longest is the longest latency that is told apart, in microseconds.
	longest = 300_000_000
	// shards are how many goroutines may record side by side, at most.
	shards = 16
)

// used is how many shards are: with more than there are processors they only
// push each other out of the processors' caches.
var used = min(shards, runtime.GOMAXPROCS(0))

// histogram takes latencies from many goroutines, in microseconds with three
// significant digits.
type histogram struct {
	shard [shards]struct {
		mu  sync.Mutex
		hdr *hdrhistogram.Histogram
		_   [40]byte // a cache line of its own
	}
}

func (h *histogram) record(d time.Duration) {
	s := &h.shard[rand.N(used)]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hdr == nil {
		s.hdr = hdrhistogram.New(1, longest, 3)
	}
	_ = s.hdr.RecordValue(min(max(d.Microseconds(), 1), longest))
}

// take gives all that was recorded since the last take.
func (h *histogram) take() *hdrhistogram.Histogram {
	all := hdrhistogram.New(1, longest, 3)
	for i := range h.shard {
		s := &h.shard[i]
		s.mu.Lock()
		if s.hdr != nil {
			all.Merge(s.hdr)
			s.hdr.Reset()
		}
		s.mu.Unlock()
	}
	return all
}

// Latency is how long something took, in milliseconds, at some percentiles.
type Latency struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P95  float64 `json:"p95"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

func latencyOf(h *hdrhistogram.Histogram) Latency {
	ms := func(q float64) float64 { return float64(h.ValueAtQuantile(q)) / 1000 }
	return Latency{P50: ms(50), P90: ms(90), P95: ms(95), P99: ms(99), P999: ms(99.9), Max: float64(h.Max()) / 1000}
}

// Second is what happened in one second of a stretch.
type Second struct {
	At        float64 `json:"at_s"` // its end, from the stretch's beginning
	Sent      int64   `json:"sent"`
	Accepted  int64   `json:"accepted"`
	Refused   int64   `json:"refused"`
	Delivered int64   `json:"delivered"`
	InFlight  int64   `json:"in_flight"` // receipts that have not come of what was sent and not refused
	Queue     int64   `json:"queue"`     // messages that were accepted and have not come, at its end
	P50       float64 `json:"p50_ms"`    // of what was delivered in it
	P95       float64 `json:"p95_ms"`
	P99       float64 `json:"p99_ms"`
}

// recording is what one stretch of a run did.
type recording struct {
	from, warm time.Duration // of the run: its beginning, and where the warm-up ends

	delivery, answer, lag histogram // of what was due after the warm-up
	second                histogram // of deliveries since the last second

	sent, accepted, refused, failed atomic.Int64
	audience                        atomic.Int64 // receipts, had everything been taken
	expected                        atomic.Int64 // of them, those of what was not refused; that may come or not
	delivered                       atomic.Int64 // receipts
	measured                        atomic.Int64 // of them, those of what was due after the warm-up
}

// queue is about how many messages the system has accepted and not delivered:
// its queues' length, as one sees it from outside.
func (r *recording) queue() int64 {
	sent, audience := r.sent.Load(), r.audience.Load()
	if sent == 0 || audience == 0 {
		return 0
	}
	return max(0, r.accepted.Load()-r.delivered.Load()*sent/audience)
}

// ours tells whether what was due then belongs to the stretch.
func (r *recording) ours(due time.Duration) bool { return r != nil && due >= r.from }

func (r *recording) received(due, now time.Duration) {
	r.delivered.Add(1)
	r.second.record(now - due)
	if due >= r.warm {
		r.measured.Add(1)
		r.delivery.record(now - due)
	}
}

func (r *recording) answered(due, now time.Duration) {
	if due >= r.warm {
		r.answer.record(now - due)
	}
}
