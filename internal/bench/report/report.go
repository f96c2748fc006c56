// Package report is the result of a run of the load tool: the document
// hikyaku.bench/v1, and its summary as text. docs/bench.md describes it.
package report

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/bench/audit"
	"github.com/hikyaku-chat/hikyaku/internal/bench/cost"
	"github.com/hikyaku-chat/hikyaku/internal/bench/load"
	"github.com/hikyaku-chat/hikyaku/internal/bench/machine"
)

// Schema is the name and version of the document format.
const Schema = "hikyaku.bench/v1"

// Report is one run.
type Report struct {
	Schema     string            `json:"schema"`
	Scenario   string            `json:"scenario"`
	Target     string            `json:"target"`
	At         time.Time         `json:"at"`
	Parameters map[string]string `json:"parameters"`
	Machine    Machine           `json:"machine"`
	Versions   Versions          `json:"versions"`

	audit.Verdict

	// The figures of the highest rate that was sustained, or of the only one.
	Rate       float64      `json:"rate"`
	MsgsPerS   float64      `json:"msgs_per_s"`
	Deliveries float64      `json:"deliveries_per_s"`
	Latency    load.Latency `json:"latency_ms"`
	Answer     load.Latency `json:"accepted_ms"`
	Complete   load.Latency `json:"complete_ms"`
	Lag        load.Latency `json:"send_lag_ms"`
	Queue      Queue        `json:"queue"`
	Cost       *cost.Cost   `json:"cost,omitempty"`

	Connections *Connections `json:"connections,omitempty"`
	Return      *Return      `json:"return,omitempty"`
	Drift       *Drift       `json:"drift,omitempty"`
	Acts        []Act        `json:"acts,omitempty"`

	// Limit is why a scenario that looks for one ended.
	Limit string         `json:"limit,omitempty"`
	Steps []*load.Result `json:"steps"`

	// Series is the whole run, second by second.
	Series     []load.Second `json:"series"`
	HeatBounds []float64     `json:"heat_bounds_ms"` // upper bounds of the bands of each second's heat

	// Notes are what a reader must know, such as that the tool itself was the
	// bottleneck.
	Notes []string `json:"notes,omitempty"`
}

// Queue is what the system had accepted and not delivered.
type Queue struct {
	Peak   int64   `json:"peak"`    // messages, at most
	DrainS float64 `json:"drain_s"` // from the last send until nothing was left
}

// Connections is the result of opening connections.
type Connections struct {
	Attempted int64        `json:"attempted"`
	Succeeded int64        `json:"succeeded"`
	PerS      float64      `json:"per_s"`      // successes, from the first attempt to the last success
	Connect   load.Latency `json:"connect_ms"` // from when each was due until it could be used
	HeldS     float64      `json:"held_s"`     // how long all were kept open
	Ended     int64        `json:"ended"`      // unexpectedly, in that time
	BytesEach float64      `json:"bytes_each"` // memory of the server's processes for each; 0 if not sampled
	ServerMiB float64      `json:"server_mib"` // of the server's processes with all connections; 0 if not sampled
	Errors    []string     `json:"errors,omitempty"`

	// What all of them took, where the system tells; 0 where it does not.
	ToolBytesEach    float64 `json:"tool_bytes_each,omitempty"`    // memory of the load tool's processes for each
	MachineBytesEach float64 `json:"machine_bytes_each,omitempty"` // memory of the whole machine for each: all processes and the kernel
	HeldCPU          float64 `json:"held_cpu,omitempty"`           // processors that all of the server's processes used while they were kept open
	HeldToolCPU      float64 `json:"held_tool_cpu,omitempty"`      // and the load tool's
}

// Return is the result of disconnecting users and having them connect again.
type Return struct {
	People     int          `json:"people"`
	Returned   int64        `json:"returned"`
	Missed     int64        `json:"missed"`        // messages that users had missed, in all
	Synced     load.Latency `json:"synced_ms"`     // from when all were disconnected until a user had caught up
	AllS       float64      `json:"all_s"`         // until the last user had
	SpreadS    float64      `json:"spread_s"`      // the interval over which the attempts were spread at random
	PeakCPU    float64      `json:"peak_cpu"`      // processors that the server used in its worst second; 0 if not sampled
	Afterwards load.Latency `json:"afterwards_ms"` // latency of messages after it
	Errors     []string     `json:"errors,omitempty"`
}

// Drift is how a long run ended, compared to how it began.
type Drift struct {
	Hours      float64 `json:"hours"`
	FirstP95   float64 `json:"first_p95_ms"` // of the second tenth: in the first, caches fill
	LastP95    float64 `json:"last_p95_ms"`  // of the last tenth
	FirstMiB   float64 `json:"first_mib"`    // memory of the server's processes, likewise; 0 if not sampled
	LastMiB    float64 `json:"last_mib"`
	MiBPerHour float64 `json:"mib_per_hour"` // slope of the line through all of it (least squares)
	P95PerHour float64 `json:"p95_ms_per_hour"`
}

// Act is what users did besides sending messages.
type Act struct {
	Name    string       `json:"name"`
	Done    int64        `json:"done"`
	Failed  int64        `json:"failed"`
	Latency load.Latency `json:"latency_ms"`
	Error   string       `json:"error,omitempty"` // the first one
}

// Machine is where the load tool ran.
type Machine struct {
	OS        string `json:"os"`
	Arch      string `json:"arch"`
	Processor string `json:"processor,omitempty"`
	Cores     int    `json:"cores"`
	MemoryMiB int64  `json:"memory_mib,omitempty"`
	// Speed was measured before the run; nil if it was not.
	Speed *machine.Speed `json:"speed,omitempty"`
}

// Versions are the versions of the software that took part.
type Versions struct {
	Tool     string `json:"tool"`
	Revision string `json:"revision,omitempty"` // of git
	Go       string `json:"go"`
	Target   string `json:"target,omitempty"`
}

// New returns a report with this machine and program filled in.
func New(scenario, target, tool string) *Report {
	r := &Report{
		HeatBounds: load.HeatBoundsMS,
		Schema:     Schema, Scenario: scenario, Target: target, At: time.Now().UTC().Truncate(time.Second),
		Parameters: map[string]string{}, Machine: thisMachine(), Versions: Versions{Tool: tool, Go: runtime.Version()},
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				r.Versions.Revision = s.Value
			}
		}
	}
	return r
}

// thisMachine describes the machine. What the system does not provide is left
// out.
func thisMachine() Machine {
	m := Machine{OS: runtime.GOOS, Arch: runtime.GOARCH, Cores: runtime.NumCPU()}
	m.Processor = field("/proc/cpuinfo", "model name")
	if kib, err := strconv.ParseInt(strings.TrimSuffix(field("/proc/meminfo", "MemTotal"), " kB"), 10, 64); err == nil {
		m.MemoryMiB = kib / 1024
	}
	return m
}

// field returns the value of the first line of a file with a name.
func field(path, name string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), ":")
		if strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// SetFigures makes a step's figures those of the run.
func (r *Report) SetFigures(step *load.Result) {
	r.Rate, r.MsgsPerS, r.Deliveries = step.Rate, step.PerSecond, step.Receipts
	r.Latency, r.Answer, r.Complete, r.Lag = step.Latency, step.Answer, step.Complete, step.Lag
	r.Queue, r.Cost = Queue{Peak: step.QueuePeak, DrainS: step.DrainS}, step.Cost
}

// Downsample reduces the series to a maximum number of points, each of several
// seconds. Counts become averages per second; other values become the worst of
// them.
func (r *Report) Downsample(most int) {
	each := (len(r.Series) + most - 1) / most
	if each < 2 {
		return
	}
	thin := make([]load.Second, 0, most)
	for part := range slices.Chunk(r.Series, each) {
		s := part[len(part)-1]
		s.Heat = slices.Clone(s.Heat)
		for _, o := range part[:len(part)-1] {
			s.Sent, s.Accepted, s.Refused, s.Delivered = s.Sent+o.Sent, s.Accepted+o.Accepted, s.Refused+o.Refused, s.Delivered+o.Delivered
			s.InFlight, s.Queue = max(s.InFlight, o.InFlight), max(s.Queue, o.Queue)
			s.P50, s.P95, s.P99 = max(s.P50, o.P50), max(s.P95, o.P95), max(s.P99, o.P99)
			s.MemoryMiB, s.CPU = max(s.MemoryMiB, o.MemoryMiB), max(s.CPU, o.CPU)
			for band, n := range o.Heat {
				if s.Heat == nil {
					s.Heat = make([]int64, len(o.Heat))
				}
				s.Heat[band] += n
			}
		}
		n := int64(len(part))
		s.Sent, s.Accepted, s.Refused, s.Delivered = s.Sent/n, s.Accepted/n, s.Refused/n, s.Delivered/n
		thin = append(thin, s)
	}
	r.Series = thin
}

// WriteJSON writes the document.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(r)
}

// Read reads a document that WriteJSON wrote.
func Read(from io.Reader) (*Report, error) {
	r := &Report{}
	if err := json.NewDecoder(from).Decode(r); err != nil {
		return nil, fmt.Errorf("it is no report of the load tool: %w", err)
	}
	if r.Schema != Schema {
		return nil, fmt.Errorf("it is a document of the kind %q, not %s", r.Schema, Schema)
	}
	if slices.Contains(r.Steps, nil) {
		return nil, errors.New("it is damaged: one of its steps is missing")
	}
	return r, nil
}
