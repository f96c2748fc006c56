package cluster

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/client"
	"github.com/hikyaku-chat/hikyaku/internal/stack"
	"github.com/hikyaku-chat/hikyaku/test/cluster/clustertest"
)

// BenchmarkCluster measures the whole system through nginx, with the load
// generator on the same machine: pairs of users send to each other at a fixed
// rate (an open loop), every message is confirmed by quorum queues and stored
// with fsync. Latency counts from the time when a message was due to its
// receipt by the other user. One iteration takes CLUSTER_SECONDS (10); run it
// with -benchtime 1x. CLUSTER_RATES (1200,8000) are the rates, in messages per
// second; CLUSTER_GATEWAYS (2), CLUSTER_WORKERS (2) and CLUSTER_PEOPLE (200)
// set the size.
func BenchmarkCluster(b *testing.B) {
	s := benchSystem(b, stack.Options{Gateways: number("CLUSTER_GATEWAYS", 2), Workers: number("CLUSTER_WORKERS", 2)})
	l := newLoad(b, s, number("CLUSTER_PEOPLE", 200))
	for _, rate := range numbers("CLUSTER_RATES", 1200, 8000) {
		b.Run(fmt.Sprintf("rate=%d", rate), func(b *testing.B) {
			for range b.N {
				l.run(b, rate)
			}
		})
	}
}

func numbers(variable string, byDefault ...int) (out []int) {
	for _, t := range strings.Split(os.Getenv(variable), ",") {
		if n, err := strconv.Atoi(t); err == nil {
			out = append(out, n)
		}
	}
	if len(out) == 0 {
		return byDefault
	}
	return out
}

func number(variable string, byDefault int) int { return numbers(variable, byDefault)[0] }

func benchSystem(b *testing.B, o stack.Options) *clustertest.System {
	b.Helper()
	o.Settings = append(o.Settings, "HIKYAKU_HEARTBEAT=3s") // as it is by default
	o.Settings = append(o.Settings, strings.Fields(os.Getenv("CLUSTER_SETTINGS"))...)
	s, err := clustertest.Start(o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	warmUp(b, s)
	return s
}

// warmUp gives PostgreSQL the WAL segments that a server has after a while. It
// recycles old segments; a new server must fill each new one with zeros first,
// which blocks every commit for a fifth of a second.
func warmUp(b *testing.B, s *clustertest.System) {
	b.Helper()
	for range 40 {
		if err := s.Postgres.Exec(b.Context(), "hikyaku", `SELECT pg_logical_emit_message(false, 'warm', 'up'), pg_switch_wal()`); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Postgres.Exec(b.Context(), "hikyaku", `CHECKPOINT`); err != nil {
		b.Fatal(err)
	}
}

// load is users who send in pairs.
type load struct {
	system *clustertest.System
	users  []*benchUser
	start  time.Time

	mu           sync.Mutex
	latency      *hdrhistogram.Histogram // due to received, in µs
	ack          *hdrhistogram.Histogram // due to accepted, in µs
	received     atomic.Int64
	accepted     atomic.Int64
	rejected     atomic.Int64
	measuredFrom atomic.Int64 // ns since start; what was due earlier is not recorded
}

type benchUser struct {
	socket *client.Socket
	prefix string // of a frame, up to the id
	middle string // from the id to the body
	self   []byte // as it stands in frames
	due    sync.Map
}

// accounts counts the created accounts.
var accounts atomic.Int64

func newLoad(b *testing.B, s *clustertest.System, n int) *load {
	b.Helper()
	l := &load{system: s, start: time.Now()}
	l.reset()
	var previous *client.Client
	for i := range n {
		c, err := client.New(s.URL())
		if err != nil {
			b.Fatal(err)
		}
		if err := c.Register(b.Context(), fmt.Sprintf("talker%d", accounts.Add(1)), clustertest.Password); err != nil {
			b.Fatal(err)
		}
		t := &benchUser{self: []byte(`"sender":"` + c.Me().ID.String() + `"`)}
		if t.socket, err = c.Dial(b.Context(), func(f client.Frame) { l.handleFrame(b, t, f) }); err != nil {
			b.Fatal(err)
		}
		l.users = append(l.users, t)
		if i%2 == 1 {
			d, err := c.CreateDirect(b.Context(), previous.Me().ID)
			if err != nil {
				b.Fatal(err)
			}
			t.setConversation(d.ID)
			l.users[i-1].setConversation(d.ID)
		}
		previous = c
	}
	return l
}

func (t *benchUser) setConversation(id chat.ConversationID) {
	t.prefix = `{"t":"send","id":"`
	t.middle = `","conversation":"` + id.String() + `","body":"`
}

func (l *load) reset() {
	l.mu.Lock()
	l.latency, l.ack = hdrhistogram.New(1, 120_000_000, 3), hdrhistogram.New(1, 120_000_000, 3)
	l.mu.Unlock()
	l.received.Store(0)
	l.accepted.Store(0)
	l.rejected.Store(0)
}

func (l *load) handleFrame(b *testing.B, t *benchUser, f client.Frame) {
	switch f.T {
	case "accepted":
		id := string(f.Raw[bytes.Index(f.Raw, []byte(`"id":"`))+6:][:36])
		if due, ok := t.due.LoadAndDelete(id); ok {
			l.accepted.Add(1)
			l.record(l.ack, due.(int64))
		}
	case "message":
		if bytes.Contains(f.Raw, t.self) {
			return
		}
		body := f.Raw[bytes.Index(f.Raw, []byte(`"body":"`))+8:]
		due, err := strconv.ParseInt(string(body[:bytes.IndexByte(body, ' ')]), 10, 64)
		if err != nil {
			b.Errorf("%s: %v", f.Raw, err)
			return
		}
		l.received.Add(1)
		l.record(l.latency, due)
	case "rejected":
		l.rejected.Add(1)
		// It is not sent again, and nothing should wait for it.
		id := string(f.Raw[bytes.Index(f.Raw, []byte(`"id":"`))+6:][:36])
		go func() { _ = t.socket.SendRaw([]byte(`{"t":"withdraw","id":"` + id + `"}`)) }()
	case "failed":
		l.rejected.Add(1)
	}
}

func (l *load) record(h *hdrhistogram.Histogram, due int64) {
	if due < l.measuredFrom.Load() {
		return
	}
	took := time.Since(l.start) - time.Duration(due)
	l.mu.Lock()
	_ = h.RecordValue(max(1, took.Microseconds()))
	l.mu.Unlock()
}

var filler = strings.Repeat("x", 100)

// run sends at a rate, in messages per second, and reports the metrics.
func (l *load) run(b *testing.B, rate int) {
	seconds := number("CLUSTER_SECONDS", 10)
	l.reset()
	const warmUp = 2 * time.Second
	start := time.Since(l.start)
	l.measuredFrom.Store(int64(start + warmUp))
	total := rate * (seconds + 2)
	var lag time.Duration // how late the generator itself was, at most
	cpu := map[string]float64{}
	measured := 0
	for n := 0; n < total; {
		due := start + time.Duration(float64(n)/float64(rate)*1e9)
		now := time.Since(l.start)
		if due > now {
			time.Sleep(min(due-now, time.Millisecond))
			continue
		}
		if now-start > warmUp && len(cpu) == 0 {
			cpu, measured = cpuTimes(l.system), n
		}
		if now-start > warmUp {
			lag = max(lag, now-due)
		}
		t := l.users[n%len(l.users)]
		id := client.NewClientID().String()
		t.due.Store(id, int64(due))
		if err := t.socket.SendRaw(fmt.Appendf(nil, `%s%s%s%d %s"}`, t.prefix, id, t.middle, int64(due), filler)); err != nil {
			b.Fatal(err)
		}
		n++
	}
	sent := time.Since(l.start) - start
	deadline := time.Now().Add(30 * time.Second)
	for l.received.Load() < int64(total)-l.rejected.Load() && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	drained := time.Since(l.start) - start - sent
	after := cpuTimes(l.system)
	l.mu.Lock()
	defer l.mu.Unlock()
	b.ReportMetric(float64(l.received.Load())/(sent+drained).Seconds(), "msg/s")
	b.ReportMetric(float64(l.latency.ValueAtQuantile(50))/1000, "p50-ms")
	b.ReportMetric(float64(l.latency.ValueAtQuantile(95))/1000, "p95-ms")
	b.ReportMetric(float64(l.latency.ValueAtQuantile(99))/1000, "p99-ms")
	b.ReportMetric(float64(l.ack.ValueAtQuantile(95))/1000, "ack-p95-ms")
	b.ReportMetric(float64(l.rejected.Load()), "rejected")
	b.ReportMetric(float64(int64(total)-l.rejected.Load()-l.received.Load()), "lost")
	b.ReportMetric(lag.Seconds()*1000, "lag-ms")
	b.ReportMetric(0, "ns/op")
	var names []string
	for name := range after {
		names = append(names, name)
	}
	sort.Strings(names)
	var line strings.Builder
	all := 0.0
	for _, name := range names {
		perMillion := (after[name] - cpu[name]) / float64(total-measured) * 1e6
		all += perMillion
		fmt.Fprintf(&line, " %s %.0f", name, perMillion)
	}
	b.Logf("CPU-seconds per million messages:%s; together %.0f", line.String(), all)
}

// cpuTimes returns the CPU time of each kind of process so far, including
// children, in seconds.
func cpuTimes(s *clustertest.System) map[string]float64 {
	out := map[string]float64{"generator": ticks(fmt.Sprint(os.Getpid()))}
	names := map[string]string{} // of processes, by their id
	for _, p := range s.Folder().Processes() {
		if p.Running() {
			name := p.Name()
			if i := strings.LastIndexByte(name, '-'); i > 0 && name[i+1] >= '0' && name[i+1] <= '9' {
				name = name[:i]
			}
			names[fmt.Sprint(p.PID())] = name
		}
	}
	parents := map[string]string{}
	all, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range all {
		b, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		parents[filepath.Base(filepath.Dir(path))] = strings.Fields(string(b[bytes.LastIndexByte(b, ')')+2:]))[1]
	}
	for pid := range parents {
		for of := pid; of != ""; of = parents[of] {
			if name, ok := names[of]; ok {
				out[name] += ticks(pid)
				break
			}
		}
	}
	return out
}

// ticks returns a process's CPU time in seconds, including ended children.
func ticks(pid string) float64 {
	b, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+2:]))
	sum := 0.0
	for _, f := range fields[11:15] { // utime, stime, cutime, cstime
		n, _ := strconv.ParseFloat(f, 64)
		sum += n
	}
	return sum / 100
}
