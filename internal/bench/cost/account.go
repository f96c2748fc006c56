package cost

import (
	"slices"
	"strings"
	"time"
)

// Tool is the name of the load tool's own processes.
const Tool = "load tool"

// Sample is what processes have used so far, at one time.
type Sample struct {
	At        time.Time
	Processes []ProcessSample
	Hops      []HopSample
	Switches  float64 // context switches of the machine since its start; 0 if unknown
}

// ProcessSample is a process at the time of a sample.
type ProcessSample struct {
	ID     ID
	Parent ID // zero if it is not among the processes of the sample
	Name   string
	CPU    Times
	// Ended is what children used that have ended, and theirs.
	Ended Times
	// Threads has what is counted for each thread and is forgotten when the thread
	// ends, by the thread's id.
	Threads map[int]Thread
	Unknown Unknown
}

// Unknown says what is not told of a process. The time in the kernel is in
// Times.User then.
type Unknown struct{ System, Switches, Wait bool }

func (u *Unknown) add(o Unknown) {
	u.System, u.Switches, u.Wait = u.System || o.System, u.Switches || o.Switches, u.Wait || o.Wait
}

// ID is a process. A later process with the same PID has another Start. A process
// that is known only by its address has that.
type ID struct {
	PID     int
	Start   uint64 // clock ticks after the machine's start
	Address string
}

// Times is processor time, in seconds.
type Times struct{ User, System float64 }

// Thread is what a thread has done so far.
type Thread struct {
	Voluntary, Involuntary float64 // context switches
	Wait                   float64 // seconds in which it could run and had no processor
}

// HopSample is what a process has counted for a hop.
type HopSample struct {
	Source  string // where it was read
	Process string
	Name    string
	Batches float64
	Items   float64
}

// Account adds up what processes use from one sample on. Processes and threads
// may come and go: what ends between two samples counts as it was in the last one
// that had it, except processor time, which is whole when the parent is in the
// account, since that inherits it. It is not safe for concurrent use.
type Account struct {
	first, last time.Time
	processes   map[ID]*process
	hops        map[hopKey]*hop
	machine     growth
	machineSeen bool
}

// New returns an account that begins with a sample.
func New(s Sample) *Account {
	a := &Account{first: s.At, processes: map[ID]*process{}, hops: map[hopKey]*hop{}}
	a.see(s, true)
	return a
}

// Add adds a later sample.
func (a *Account) Add(s Sample) { a.see(s, false) }

// growth adds up how much a counter grows. A counter that falls has begun at 0
// again.
type growth struct{ last, sum float64 }

func (g *growth) see(v float64) {
	if v < g.last {
		g.sum += v
	} else {
		g.sum += v - g.last
	}
	g.last = v
}

// begin makes a value the one from which growth counts.
func (g *growth) begin(v float64) { *g = growth{last: v} }

// observe sees a value, or begins with it.
func (g *growth) observe(v float64, begin bool) {
	if begin {
		g.begin(v)
		return
	}
	g.see(v)
}

type times struct{ user, system growth }

func (t *times) observe(v Times, begin bool) {
	t.user.observe(v.User, begin)
	t.system.observe(v.System, begin)
}

type process struct {
	name       string
	parent     ID
	cpu, ended times
	threads    map[int]*thread
	unknown    Unknown
	present    bool // in the last sample
}

type thread struct{ voluntary, involuntary, wait growth }

type hopKey struct{ source, process, name string }

type hop struct{ batches, items growth }

func (a *Account) see(s Sample, begin bool) {
	a.last = s.At
	a.machine.observe(s.Switches, begin || !a.machineSeen)
	a.machineSeen = s.Switches > 0
	for _, p := range a.processes {
		p.present = false
	}
	for i := range s.Processes {
		a.seeProcess(&s.Processes[i], begin)
	}
	for _, h := range s.Hops {
		key := hopKey{h.Source, h.Process, h.Name}
		of := a.hops[key]
		if of == nil {
			of = &hop{}
			a.hops[key] = of
		}
		of.batches.observe(h.Batches, begin)
		of.items.observe(h.Items, begin)
	}
}

func (a *Account) seeProcess(s *ProcessSample, begin bool) {
	p := a.processes[s.ID]
	if p == nil {
		p = &process{threads: map[int]*thread{}}
		a.processes[s.ID] = p
	}
	// A server's child has its parent's name until it gives itself one.
	p.name, p.parent, p.present = s.Name, s.Parent, true
	p.unknown = s.Unknown
	p.cpu.observe(s.CPU, begin)
	p.ended.observe(s.Ended, begin)
	for id, now := range s.Threads {
		t := p.threads[id]
		if t == nil {
			t = &thread{}
			p.threads[id] = t
		}
		t.voluntary.observe(now.Voluntary, begin)
		t.involuntary.observe(now.Involuntary, begin)
		t.wait.observe(now.Wait, begin)
	}
}

// Cost returns what each of a number of messages cost until the last sample; nil
// if there were none.
func (a *Account) Cost(messages int64) *Cost {
	if messages <= 0 {
		return nil
	}
	c := &Cost{Messages: messages, Seconds: a.last.Sub(a.first).Seconds()}
	kinds := map[string]*total{}
	of := func(name string) *total {
		if kinds[name] == nil {
			kinds[name] = &total{}
		}
		return kinds[name]
	}
	for id, p := range a.processes {
		user, system := a.unseen(id, p)
		of(p.name).add(p, user, system)
	}
	together := &total{}
	for name, k := range kinds {
		c.Processes = append(c.Processes, k.each(name, messages))
		together.addTotal(k)
	}
	slices.SortFunc(c.Processes, func(a, b Process) int {
		if (a.Name == Tool) != (b.Name == Tool) {
			if a.Name == Tool {
				return 1
			}
			return -1
		}
		return strings.Compare(a.Name, b.Name)
	})
	c.Together = together.each("together", messages)
	c.MachineSwitches = a.machine.sum / float64(messages)
	c.Hops = a.hopsFor(messages)
	return c
}

// unseen returns the processor time that a process has inherited from children
// that have ended, as far as no sample had it: of those that lived between two
// samples, and what the others did after their last one.
func (a *Account) unseen(id ID, p *process) (user, system float64) {
	user, system = p.ended.user.sum, p.ended.system.sum
	for _, child := range a.processes {
		if child.parent == id && !child.present {
			user -= child.cpu.user.last + child.ended.user.last
			system -= child.cpu.system.last + child.ended.system.last
		}
	}
	// All of these are rounded.
	return max(0, user), max(0, system)
}

func (a *Account) hopsFor(messages int64) []Hop {
	sums := map[hopKey]*hop{}
	for key, h := range a.hops {
		key.source = ""
		if sums[key] == nil {
			sums[key] = &hop{}
		}
		sums[key].batches.sum += h.batches.sum
		sums[key].items.sum += h.items.sum
	}
	var all []Hop
	for key, h := range sums {
		if h.batches.sum > 0 {
			all = append(all, Hop{Process: key.process, Name: key.name, Batches: h.batches.sum / float64(messages), Items: h.items.sum / h.batches.sum})
		}
	}
	sortHops(all)
	return all
}

// total is what the processes of a kind have used.
type total struct {
	count                        int
	user, system                 float64
	voluntary, involuntary, wait float64
	unknown                      Unknown
}

func (t *total) add(p *process, user, system float64) {
	t.count++
	t.user += p.cpu.user.sum + user
	t.system += p.cpu.system.sum + system
	for _, r := range p.threads {
		t.voluntary += r.voluntary.sum
		t.involuntary += r.involuntary.sum
		t.wait += r.wait.sum
	}
	t.unknown.add(p.unknown)
}

func (t *total) addTotal(o *total) {
	t.count += o.count
	t.user += o.user
	t.system += o.system
	t.voluntary += o.voluntary
	t.involuntary += o.involuntary
	t.wait += o.wait
	t.unknown.add(o.unknown)
}

func (t *total) each(name string, messages int64) Process {
	n := float64(messages)
	p := Process{Name: name, Count: t.count, CPU: (t.user + t.system) / n * 1e6}
	if !t.unknown.System {
		system := t.system / n * 1e6
		p.System = &system
	}
	if !t.unknown.Switches {
		p.Switches = &Switches{Voluntary: t.voluntary / n, Involuntary: t.involuntary / n}
	}
	if !t.unknown.Wait {
		wait := t.wait / n * 1000
		p.WaitMS = &wait
	}
	return p
}
