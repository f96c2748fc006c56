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
	// maxLatency is the highest latency that can be recorded, in microseconds.
	maxLatency = 3_600_000_000
	// maxShards bounds how many goroutines can record without waiting for each
	// other.
	maxShards = 16
)

// usedShards is how many shards are used: more than there are processors would
// only evict each other from the processors' caches.
var usedShards = min(maxShards, runtime.GOMAXPROCS(0))

// histogram records latencies from many goroutines, in microseconds with three
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

// take returns everything that was recorded since the last take.
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

// Distribution is a histogram of durations. Those of several processes can be
// added, which percentiles cannot. The zero value is empty.
type Distribution struct{ hdr *hdrhistogram.Histogram }

func (d *Distribution) add(h *hdrhistogram.Histogram) {
	if d.hdr == nil {
		d.hdr = hdrhistogram.New(1, maxLatency, 3)
	}
	d.hdr.Merge(h)
}

// Record adds one duration.
func (d *Distribution) Record(took time.Duration) {
	if d.hdr == nil {
		d.hdr = hdrhistogram.New(1, maxLatency, 3)
	}
	_ = d.hdr.RecordValue(min(max(took.Microseconds(), 1), maxLatency))
}

// Add adds another distribution.
func (d *Distribution) Add(other Distribution) {
	if other.hdr != nil {
		d.add(other.hdr)
	}
}

// MarshalBinary encodes a distribution for another process.
func (d Distribution) MarshalBinary() ([]byte, error) {
	if d.hdr == nil {
		return nil, nil
	}
	return d.hdr.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
}

// UnmarshalBinary decodes what MarshalBinary encoded.
func (d *Distribution) UnmarshalBinary(b []byte) (err error) {
	if len(b) == 0 {
		d.hdr = nil
		return nil
	}
	d.hdr, err = hdrhistogram.Decode(b)
	return err
}

// Latency is percentiles of a duration, in milliseconds.
type Latency struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P95  float64 `json:"p95"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

// Latency returns the percentiles; all are 0 for an empty distribution.
func (d Distribution) Latency() Latency {
	if d.hdr == nil {
		return Latency{}
	}
	ms := func(q float64) float64 { return float64(d.hdr.ValueAtQuantile(q)) / 1000 }
	return Latency{P50: ms(50), P90: ms(90), P95: ms(95), P99: ms(99), P999: ms(99.9), Max: float64(d.hdr.Max()) / 1000}
}

// HeatBoundsMS are the upper bounds of the bands of a second's heat map column,
// in milliseconds. Each is √2 times the one before; what is above the last
// bound is in the last band.
var HeatBoundsMS = func() []float64 {
	bounds := make([]float64, 36) // 0.5 ms to 92 s
	for i := range bounds {
		bounds[i] = 0.5 * math.Pow(2, float64(i)/2)
	}
	return bounds
}()

// heat returns the number of values in each band; nil for an empty
// distribution.
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
