// Package cost is what a message costs the processes that carry it: processor
// time, context switches, waits for a processor, and how many messages go on
// together at each hop. An [Account] adds up samples of the processes' counters;
// package probe takes the samples.
package cost

import (
	"cmp"
	"slices"
	"strings"
)

// Cost is what messages cost from the first to the last sample of an [Account].
type Cost struct {
	Messages  int64     `json:"messages"`  // accepted in this time
	Seconds   float64   `json:"seconds"`   // how long it was
	Processes []Process `json:"processes"` // by kind; the tool's own are last
	Together  Process   `json:"together"`
	// MachineSwitches are the context switches of the whole machine for each
	// message, those to an idle processor and of other programs included; 0 if
	// unknown.
	MachineSwitches float64 `json:"machine_switches,omitempty"`
	Hops            []Hop   `json:"hops,omitempty"`
}

// Process is what a message costs the processes of one kind.
type Process struct {
	Name  string  `json:"name"`
	Count int     `json:"count"` // processes that were seen
	CPU   float64 `json:"cpu_s"` // CPU-seconds for a million messages

	// The others are absent where they are not known of every process of the
	// kind.
	System   *float64  `json:"system_s,omitempty"` // the part of CPU that was in the kernel
	Switches *Switches `json:"switches,omitempty"`
	WaitMS   *float64  `json:"wait_ms,omitempty"` // for each message, the time in which threads could run and had no processor
}

// Switches are the context switches of threads for each message.
type Switches struct {
	Voluntary   float64 `json:"voluntary"`   // the thread had to wait for something
	Involuntary float64 `json:"involuntary"` // another thread got its processor
}

// All returns the switches of both kinds.
func (s *Switches) All() float64 { return s.Voluntary + s.Involuntary }

// OfServer reports whether any process of the server is in it, beside the tool's.
func (c *Cost) OfServer() bool {
	return slices.ContainsFunc(c.Processes, func(p Process) bool { return p.Name != Tool })
}

// Shown returns the kinds of processes for a table: those that cost next to nothing,
// less than a two-hundredth of all processor time and switches, are one row.
func (c *Cost) Shown() (all []Process) {
	const little = 1.0 / 200
	others := Process{Name: "others"}
	for i := range c.Processes {
		p := &c.Processes[i]
		small := p.CPU < little*c.Together.CPU && p.Name != Tool
		if p.Switches != nil && c.Together.Switches != nil {
			small = small && p.Switches.All() < little*c.Together.Switches.All()
		}
		if small {
			others.merge(p)
		} else {
			all = append(all, *p)
		}
	}
	if others.Count > 0 {
		all = append(all, others)
	}
	return all
}

// merge adds another kind. What is unknown of one is unknown of both.
func (p *Process) merge(o *Process) {
	if p.Count == 0 {
		name := p.Name
		*p = *o
		p.Name = name
		return
	}
	p.Count, p.CPU = p.Count+o.Count, p.CPU+o.CPU
	p.System, p.WaitMS = sum(p.System, o.System), sum(p.WaitMS, o.WaitMS)
	if p.Switches == nil || o.Switches == nil {
		p.Switches = nil
		return
	}
	p.Switches = &Switches{Voluntary: p.Switches.Voluntary + o.Switches.Voluntary, Involuntary: p.Switches.Involuntary + o.Switches.Involuntary}
}

func sum(a, b *float64) *float64 {
	if a == nil || b == nil {
		return nil
	}
	both := *a + *b
	return &both
}

// Busy returns how many processors' worth of time all processes used.
func (c *Cost) Busy() float64 {
	if c.Seconds == 0 {
		return 0
	}
	return c.Together.CPU * float64(c.Messages) / 1e6 / c.Seconds
}

// Processors returns how many processors' worth of time the server's processes and
// the tool's own used.
func (c *Cost) Processors() (server, tool float64) {
	if c.Together.CPU == 0 {
		return 0, 0
	}
	for i := range c.Processes {
		share := c.Busy() * c.Processes[i].CPU / c.Together.CPU
		if c.Processes[i].Name == Tool {
			tool += share
		} else {
			server += share
		}
	}
	return server, tool
}

// Waiting returns how many threads waited for a processor at a time, on average.
// It reports false where the system does not tell.
func (c *Cost) Waiting() (threads float64, known bool) {
	if c.Together.WaitMS == nil || c.Seconds == 0 {
		return 0, false
	}
	return *c.Together.WaitMS / 1000 * float64(c.Messages) / c.Seconds, true
}

// Hop is how a kind of process passes messages on.
type Hop struct {
	Process string  `json:"process"`
	Name    string  `json:"name"`    // publish, store, bus, socket-read, socket-write
	Batches float64 `json:"batches"` // for each message
	Items   float64 `json:"items"`   // in each batch
}

// hops describes the hops by what a batch is and what is in it.
var hops = map[string]string{
	"publish":      "messages in a publish to the broker",
	"store":        "messages in a batch that is stored",
	"bus":          "events in a message on the bus",
	"socket-read":  "frames in a read from a socket",
	"socket-write": "frames in a write to a socket",
}

// Label says what the hop's figure counts.
func (h *Hop) Label() string {
	return h.Process + ": " + cmp.Or(hops[h.Name], "items in a batch of "+h.Name)
}

// sortHops sorts in the order of a message's way.
func sortHops(all []Hop) {
	way := []string{"socket-read", "publish", "store", "bus", "socket-write"}
	place := func(h Hop) int {
		if i := slices.Index(way, h.Name); i >= 0 {
			return i
		}
		return len(way)
	}
	slices.SortFunc(all, func(a, b Hop) int {
		return cmp.Or(cmp.Compare(place(a), place(b)), strings.Compare(a.Name, b.Name), strings.Compare(a.Process, b.Process))
	})
}
