package load

import (
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

const (
	// longest is the longest latency that is told apart, in microseconds.
	maxLatency = 3_600_000_000
	// shards are how many goroutines may record side by side, at most.
	maxShards = 16
)

// usedShards is how many shards are: with more than there are processors they only
// push each other out of the processors' caches.
var usedShards = min(maxShards, runtime.GOMAXPROCS(0))

// histogram takes latencies from many goroutines, in microseconds with three
// significant digits.
type histogram struct {
	shard [maxShards]struct {
		mu  sync.Mutex
		hdr *hdrhistogram.Histogram
		_   [40]byte // a cache line of its own
	}
}

func (h *histogram) record(d time.Duration) { h.recordAll(d, 1) }

func (h *histogram) recordAll(d time.Duration, n int) {
	s := &h.shard[rand.N(usedShards)]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hdr == nil {
		s.hdr = hdrhistogram.New(1, maxLatency, 3)
	}
	_ = s.hdr.RecordValues(min(max(d.Microseconds(), 1), maxLatency), int64(n))
}

// take gives all that was recorded since the last take.
func (h *histogram) take() Distribution {
	var all Distribution
	for i := range h.shard {
		s := &h.shard[i]
		s.mu.Lock()
		if s.hdr != nil && s.hdr.TotalCount() > 0 {
			all.add(s.hdr)
			s.hdr.Reset()
		}
		s.mu.Unlock()
	}
	return all
}

// Distribution is how long many things took. Those of several processes can be
// added up, which percentiles cannot. The zero value is empty.
type Distribution struct{ hdr *hdrhistogram.Histogram }

func (d *Distribution) add(h *hdrhistogram.Histogram) {
	if d.hdr == nil {
		d.hdr = hdrhistogram.New(1, maxLatency, 3)
	}
	d.hdr.Merge(h)
}

// Record adds one of its own.
func (d *Distribution) Record(took time.Duration) {
	if d.hdr == nil {
		d.hdr = hdrhistogram.New(1, maxLatency, 3)
	}
	_ = d.hdr.RecordValue(min(max(took.Microseconds(), 1), maxLatency))
}

// Add adds another one.
func (d *Distribution) Add(other Distribution) {
	if other.hdr != nil {
		d.add(other.hdr)
	}
}

// MarshalBinary is the form in which a distribution goes from process to
// process.
func (d Distribution) MarshalBinary() ([]byte, error) {
	if d.hdr == nil {
		return nil, nil
	}
	return d.hdr.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
}

// UnmarshalBinary reads it.
func (d *Distribution) UnmarshalBinary(b []byte) (err error) {
	if len(b) == 0 {
		d.hdr = nil
		return nil
	}
	d.hdr, err = hdrhistogram.Decode(b)
	return err
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

// Latency gives the percentiles; all are 0 of an empty distribution.
func (d Distribution) Latency() Latency {
	if d.hdr == nil {
		return Latency{}
	}
	ms := func(q float64) float64 { return float64(d.hdr.ValueAtQuantile(q)) / 1000 }
	return Latency{P50: ms(50), P90: ms(90), P95: ms(95), P99: ms(99), P999: ms(99.9), Max: float64(d.hdr.Max()) / 1000}
}

// HeatBoundsMS are the upper bounds of the bands in which the heat of a second
// is told, in milliseconds; what is above the last one is in the last band.
// From one to the next it is a factor of √2.
var HeatBoundsMS = func() []float64 {
	bounds := make([]float64, 36) // 0.5 ms to 92 s
	for i := range bounds {
		bounds[i] = 0.5 * math.Pow(2, float64(i)/2)
	}
	return bounds
}()

// heat is how many took how long, band by band; nil of an empty distribution.
func (d Distribution) heat() []int64 {
	if d.hdr == nil {
		return nil
	}
	bands := make([]int64, len(HeatBoundsMS))
	band := 0
	for _, bar := range d.hdr.Distribution() {
		if bar.Count == 0 {
			continue
		}
		for band < len(bands)-1 && float64(bar.To) > HeatBoundsMS[band]*1000 {
			band++
		}
		bands[band] += bar.Count
	}
	return bands
}
