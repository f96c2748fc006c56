package load

import (
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/bench/cost"
)

// Second is what happened in one second of a run.
type Second struct {
	At        float64 `json:"at_s"` // its end, from the start of the phase; in reports, from the start of the run
	Sent      int64   `json:"sent"`
	Accepted  int64   `json:"accepted"`
	Refused   int64   `json:"refused"`
	Delivered int64   `json:"delivered"`
	InFlight  int64   `json:"in_flight"` // outstanding receipts of messages that were not refused
	Queue     int64   `json:"queue"`     // peak of accepted messages that were not delivered, as seen from outside
	Connected int64   `json:"connected"` // open connections at its end
	P50       float64 `json:"p50_ms"`    // of the deliveries in it, or of the connects
	P95       float64 `json:"p95_ms"`
	P99       float64 `json:"p99_ms"`
	Heat      []int64 `json:"heat,omitempty"` // deliveries by latency, see HeatBoundsMS

	// Of the server's processes; 0 where the tool cannot sample them.
	MemoryMiB float64 `json:"memory_mib,omitempty"`
	CPU       float64 `json:"cpu,omitempty"` // processors' worth of time

	// Latencies is what the percentiles are computed from.
	Latencies Distribution `json:"-"`
}

func (s *Second) setPercentiles() {
	l := s.Latencies.Latency()
	s.P50, s.P95, s.P99, s.Heat = l.P50, l.P95, l.P99, s.Latencies.heat()
}

// Add adds what another process recorded in the same second.
func (s *Second) Add(other Second) {
	s.At = max(s.At, other.At)
	s.Sent += other.Sent
	s.Accepted += other.Accepted
	s.Refused += other.Refused
	s.Delivered += other.Delivered
	s.InFlight += other.InFlight
	s.Queue += other.Queue
	s.Connected += other.Connected
	s.Latencies.Add(other.Latencies)
	s.setPercentiles()
}

// Result is what a phase measured.
type Result struct {
	Label     string  `json:"label,omitempty"` // what was tried, as text
	From      float64 `json:"from_s"`          // of the run, as a scenario counts it
	To        float64 `json:"to_s"`
	Rate      float64 `json:"rate"`  // the rate of the phase
	Asked     int64   `json:"asked"` // messages that were due; more than Sent if the system stalled
	Sent      int64   `json:"sent"`  // warm-up included, as in all counts
	Accepted  int64   `json:"accepted"`
	Refused   int64   `json:"refused"`
	Failed    int64   `json:"failed"`
	Delivered int64   `json:"delivered"`        // receipts by devices, including the sender's own where the system echoes
	Missing   int64   `json:"missing"`          // receipts that had not come when the drain ended; latencies include them with their age then
	PerSecond float64 `json:"msgs_per_s"`       // complete messages of the measured time, divided by the time until they were complete
	Receipts  float64 `json:"deliveries_per_s"` // receipts, likewise
	Latency   Latency `json:"latency_ms"`       // from due to received, at every device
	Answer    Latency `json:"accepted_ms"`
	Complete  Latency `json:"complete_ms"` // from due until the last device had it
	Lag       Latency `json:"send_lag_ms"` // from due to sent: the lag of the load tool itself
	QueuePeak int64   `json:"queue_peak"`  // peak of accepted messages that were not delivered
	DrainS    float64 `json:"drain_s"`     // from the last send to the last receipt

	// Cost is what a message cost, warm-up included; nil where it was not
	// measured.
	Cost *cost.Cost `json:"cost,omitempty"`

	Distributions Distributions `json:"-"`
}

// Distributions are what a result's figures are computed from.
type Distributions struct {
	Delivery, Answer, Complete, Lag Distribution
	Messages, Receipts              int64         // of the measured time
	Elapsed                         time.Duration // from the end of the warm-up to the last receipt
}

func (r *Result) setFigures() {
	r.Latency, r.Answer = r.Distributions.Delivery.Latency(), r.Distributions.Answer.Latency()
	r.Complete, r.Lag = r.Distributions.Complete.Latency(), r.Distributions.Lag.Latency()
	if s := r.Distributions.Elapsed.Seconds(); s > 0 {
		r.PerSecond, r.Receipts = float64(r.Distributions.Messages)/s, float64(r.Distributions.Receipts)/s
	}
}

// Add adds what another process measured in the same phase.
func (r *Result) Add(other *Result) {
	r.Rate += other.Rate
	r.Asked += other.Asked
	r.Sent += other.Sent
	r.Accepted += other.Accepted
	r.Refused += other.Refused
	r.Failed += other.Failed
	r.Delivered += other.Delivered
	r.Missing += other.Missing
	r.QueuePeak += other.QueuePeak
	r.DrainS = max(r.DrainS, other.DrainS)
	t, o := &r.Distributions, &other.Distributions
	t.Delivery.Add(o.Delivery)
	t.Answer.Add(o.Answer)
	t.Complete.Add(o.Complete)
	t.Lag.Add(o.Lag)
	t.Messages += o.Messages
	t.Receipts += o.Receipts
	t.Elapsed = max(t.Elapsed, o.Elapsed)
	r.setFigures()
}

// Append adds a later phase.
func (r *Result) Append(other *Result) {
	rate, time := max(r.Rate, other.Rate), r.Distributions.Elapsed+other.Distributions.Elapsed
	r.Add(other)
	r.Rate, r.Distributions.Elapsed = rate, time
	r.setFigures()
}

// ConnectResult is the outcome of connecting.
type ConnectResult struct {
	Attempted int64
	Succeeded int64
	Durations Distribution  // from when each was due until it was ready
	Elapsed   time.Duration // from the first to the last
	Errors    []string      // the first few
}

// Add adds what another process did at the same time.
func (o *ConnectResult) Add(other *ConnectResult) {
	o.Attempted += other.Attempted
	o.Succeeded += other.Succeeded
	o.Durations.Add(other.Durations)
	o.Elapsed = max(o.Elapsed, other.Elapsed)
	o.Errors = append(o.Errors, other.Errors...)
	o.Errors = o.Errors[:min(len(o.Errors), maxErrors)]
}

// maxErrors bounds how many error texts are kept.
const maxErrors = 5
