package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/bench/humanize"
	"github.com/hikyaku-chat/hikyaku/internal/bench/load"
)

func ms(v float64) string { return humanize.Format(v, humanize.Milliseconds) }

// Headline returns the main result of the scenario in a sentence.
func (r *Report) Headline() string {
	switch {
	case r.Scenario == "burst":
		return r.burstHeadline()
	case r.Scenario == "connections" && r.Connections != nil:
		c := r.Connections
		text := fmt.Sprintf("%s of %s connections (%s), %s each second", humanize.Number(float64(c.Succeeded)), humanize.Number(float64(c.Attempted)),
			humanize.Format(c.Rate(), humanize.Percent), humanize.Number(c.PerS))
		if c.BytesEach > 0 {
			text += fmt.Sprintf(", at %s of the memory of %s each", humanize.Format(c.BytesEach, humanize.Bytes), r.Server())
		}
		return text
	case r.Scenario == "fanout" && len(r.Steps) > 0:
		return fmt.Sprintf("%s: the last device has a message after %s (p95), at %s deliveries/s", r.Steps[len(r.Steps)-1].Label, ms(r.Complete.P95), humanize.Number(r.Deliveries))
	case r.Return != nil:
		return fmt.Sprintf("%s of %s people were back with nothing missing after %s", humanize.Number(float64(r.Return.Returned)), humanize.Number(float64(r.Return.People)),
			humanize.Format(r.Return.AllS, humanize.Seconds))
	case r.Drift != nil:
		return fmt.Sprintf("%s at %s messages/s: p95 %s at first and %s at last%s", hours(r.Drift.Hours), humanize.Number(r.MsgsPerS), ms(r.Drift.FirstP95), ms(r.Drift.LastP95), r.memoryDrift())
	case r.Rate > 0:
		return fmt.Sprintf("%s messages/s sustained, at a p95 of %s", humanize.Number(r.Rate), ms(r.Latency.P95))
	}
	return "No rate was sustained"
}

// burstHeadline returns the result of a burst: everything that was accepted has
// arrived, or how much had not when the wait ended.
func (r *Report) burstHeadline() string {
	sent := int64(0)
	for _, s := range r.Steps {
		sent += s.Sent
	}
	end := fmt.Sprintf("all had arrived %s after the last was sent", humanize.Format(r.Queue.DrainS, humanize.Seconds))
	if missing := r.Missing(); missing > 0 {
		end = fmt.Sprintf("%s receipts had still not come %s after the last was sent", humanize.Number(float64(missing)), humanize.Format(r.Queue.DrainS, humanize.Seconds))
	}
	return fmt.Sprintf("%s messages/s arrived; %s were sent (%s/s asked for); at most %s accepted, not yet arrived; %s",
		humanize.Number(r.MsgsPerS), humanize.Number(float64(sent)), humanize.Number(r.Rate), humanize.Number(float64(r.Queue.Peak)), end)
}

// Missing returns how many receipts had not come when the wait for them ended.
func (r *Report) Missing() int64 {
	missing := int64(0)
	for _, s := range r.Steps {
		missing += s.Missing
	}
	return missing
}

// ServerParameter is the run parameter that says which of the server's
// processes are sampled.
const ServerParameter = "server"

// Server returns the name of the sampled processes, such as "2 gateways".
func (r *Report) Server() string {
	return cmp.Or(r.Parameters[ServerParameter], "the server")
}

// Rate returns the percentage of successful attempts, rounded down, so that 100
// means all.
func (c *Connections) Rate() float64 {
	if c.Attempted == 0 {
		return 0
	}
	return float64(c.Succeeded*10_000/c.Attempted) / 100
}

// Needs says what each connection took of memory, and all of processors; empty if
// that is not known.
func (c *Connections) Needs() string {
	var all []string
	for _, of := range []struct {
		name string
		v    float64
		unit humanize.Unit
	}{
		{"memory of the load tool for each", c.ToolBytesEach, humanize.Bytes},
		{"of the whole machine, the kernel's included,", c.MachineBytesEach, humanize.Bytes},
		{"the server while held", c.HeldCPU, humanize.Processors},
		{"the load tool", c.HeldToolCPU, humanize.Processors},
	} {
		if of.v > 0 {
			all = append(all, of.name+" "+humanize.Format(of.v, of.unit))
		}
	}
	return strings.Join(all, "; ")
}

func hours(h float64) string { return humanize.Duration(time.Duration(h * float64(time.Hour))) }

func (r *Report) memoryDrift() string {
	d := r.Drift
	if d.FirstMiB == 0 {
		return ""
	}
	return fmt.Sprintf("; memory of %s %s and %s", r.Server(), humanize.Format(d.FirstMiB, humanize.MiB), humanize.Format(d.LastMiB, humanize.MiB))
}

// Judgement says in a sentence whether the guarantees were kept.
func (r *Report) Judgement() string {
	v := &r.Verdict
	if v.Sent == 0 {
		return "No messages were sent, so nothing is known of them."
	}
	if !v.Passed() {
		var what []string
		for _, c := range []struct {
			count int64
			name  string
		}{{v.Lost, "lost"}, {v.Duplicated, "duplicated"}, {v.OutOfOrder, "out of order"}, {v.Foreign, "foreign"}} {
			if c.count > 0 {
				what = append(what, humanize.Number(float64(c.count))+" "+c.name)
			}
		}
		return fmt.Sprintf("Promises were broken: of %s accepted messages and their receipts, %s.", humanize.Number(float64(v.Accepted)), strings.Join(what, ", ")) + r.caveats()
	}
	stored := " are stored, and"
	if v.HistoryUnavailable > 0 {
		stored = ""
	}
	text := fmt.Sprintf("All %s accepted messages%s reached every device once, in one order.", humanize.Number(float64(v.Accepted)), stored)
	for _, c := range []struct {
		count int64
		what  string
	}{
		{v.Refused, "refused, as overload is to be answered"},
		{v.Failed, "given up after they had been accepted, and their senders told"},
		{v.Unanswered, "never answered"},
	} {
		if c.count > 0 {
			text += fmt.Sprintf(" %s were %s.", humanize.Number(float64(c.count)), c.what)
		}
	}
	return text + r.caveats()
}

// caveats returns what a reader must know about the verdict.
func (r *Report) caveats() string {
	text := ""
	if r.HistoryUnavailable > 0 {
		text += fmt.Sprintf(" What is stored could not be asked for, in %s conversations.", humanize.Number(float64(r.HistoryUnavailable)))
	}
	if r.Repaired > 0 {
		text += fmt.Sprintf(" %s receipts came because their device asked for them: a push had not come, or came out of order.", humanize.Number(float64(r.Repaired)))
	}
	return text
}

// WriteSummary writes a summary for a terminal.
func (r *Report) WriteSummary(w io.Writer) error {
	b := &strings.Builder{}
	fmt.Fprintf(b, "\n%s of %s", r.Scenario, r.Target)
	if r.Versions.Target != "" {
		b.WriteString(" " + r.Versions.Target)
	}
	fmt.Fprintf(b, ", on %d cores", r.Machine.Cores)
	if r.Machine.Processor != "" {
		fmt.Fprintf(b, " (%s)", r.Machine.Processor)
	}
	b.WriteString("\n")
	if s := r.Machine.Speed; s != nil {
		fmt.Fprintf(b, "  This machine before the run: %s\n", s)
	}
	r.writeSteps(b)
	r.writeDurations(b)
	r.writeCost(b)
	fmt.Fprintf(b, "\n  %s\n", r.Headline())
	if c := r.Connections; c != nil && c.Needs() != "" {
		fmt.Fprintf(b, "  Besides: %s\n", c.Needs())
	}
	if r.Limit != "" {
		fmt.Fprintf(b, "  Ended because %s\n", r.Limit)
	}
	v := &r.Verdict
	fmt.Fprintf(b, "  Every message: %d sent, %d accepted, %d refused, %d failed, %d unanswered; %d receipts\n", v.Sent, v.Accepted, v.Refused, v.Failed, v.Unanswered, v.Delivered)
	fmt.Fprintf(b, "                 %d lost, %d duplicated, %d out of order, %d foreign\n", v.Lost, v.Duplicated, v.OutOfOrder, v.Foreign)
	if more := r.caveats(); more != "" {
		fmt.Fprintf(b, "                %s\n", more)
	}
	for _, text := range append(slices.Clone(r.Violations), r.Warnings()...) {
		fmt.Fprintf(b, "  ! %s\n", text)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Warnings returns what a reader must know: the notes, and what failed besides
// messages.
func (r *Report) Warnings() []string {
	var all []string
	if c := r.Connections; c != nil {
		if c.Ended > 0 {
			all = append(all, fmt.Sprintf("%d connections ended though nobody wished it", c.Ended))
		}
		all = append(all, c.Errors...)
	}
	if r.Return != nil {
		all = append(all, r.Return.Errors...)
	}
	for _, a := range r.Acts {
		if a.Error != "" {
			all = append(all, fmt.Sprintf("%s failed %d times: %s", a.Name, a.Failed, a.Error))
		}
	}
	return append(all, r.Notes...)
}

// writeSteps writes a line for each step.
func (r *Report) writeSteps(b *strings.Builder) {
	if len(r.Steps) == 0 {
		return
	}
	fanout := r.Scenario == "fanout"
	last := "max ms"
	if fanout {
		last = "last p95"
	}
	width := 10
	for _, s := range r.Steps {
		width = max(width, len(s.Label))
	}
	fmt.Fprintf(b, "\n  %-*s %12s %9s %9s %9s %9s %9s", width, "", "arrived", "p50 ms", "p95 ms", "p99 ms", last, "lag p99")
	if _, c := r.CostStep(); c != nil && c.OfServer() {
		fmt.Fprintf(b, " %11s %11s", "CPU s/mill.", "switches")
	}
	b.WriteString("\n")
	for _, s := range r.Steps {
		label, arrived, end := s.Label, s.PerSecond, s.Latency.Max
		if label == "" {
			label = fmt.Sprintf("%.0f/s", s.Rate)
		}
		if fanout { // what counts is when the last has it, and how much that is together
			arrived, end = s.Receipts, s.Complete.P95
		}
		fmt.Fprintf(b, "  %-*s %10s/s %9.1f %9.1f %9.1f %9.1f %9.1f", width, label, humanize.Number(float64(int64(arrived+0.5))), s.Latency.P50, s.Latency.P95, s.Latency.P99, end, s.Lag.P99)
		if s.Cost != nil && s.Cost.OfServer() {
			cells := CostCells(&s.Cost.Together)
			fmt.Fprintf(b, " %11s %11s", cells[0], cells[3])
		}
		b.WriteString("\n")
	}
}

// writeDurations writes the durations of everything but messages.
func (r *Report) writeDurations(b *strings.Builder) {
	type line struct {
		name string
		took load.Latency
		rest string
	}
	var lines []line
	if c := r.Connections; c != nil {
		rest := fmt.Sprintf("%s of %s, %s/s; held %s", humanize.Number(float64(c.Succeeded)), humanize.Number(float64(c.Attempted)), humanize.Number(c.PerS), humanize.Format(c.HeldS, humanize.Seconds))
		if c.ServerMiB > 0 {
			rest += "; memory of " + r.Server() + " " + humanize.Format(c.ServerMiB, humanize.MiB)
		}
		lines = append(lines, line{"connect", c.Connect, rest})
	}
	if x := r.Return; x != nil {
		rest := fmt.Sprintf("%s messages missed; all after %s, tries spread over %s", humanize.Number(float64(x.Missed)), humanize.Format(x.AllS, humanize.Seconds), humanize.Format(x.SpreadS, humanize.Seconds))
		if x.PeakCPU > 0 {
			rest += "; " + r.Server() + " at most " + humanize.Format(x.PeakCPU, humanize.Processors)
		}
		lines = append(lines, line{"catch up", x.Synced, rest}, line{"afterwards", x.Afterwards, "messages"})
	}
	for _, a := range r.Acts {
		lines = append(lines, line{a.Name, a.Latency, fmt.Sprintf("%s done, %d failed", humanize.Number(float64(a.Done)), a.Failed)})
	}
	if len(lines) > 0 {
		width := 10
		for _, l := range lines {
			width = max(width, len(l.name))
		}
		fmt.Fprintf(b, "\n  %-*s %9s %9s %9s %9s\n", width, "", "p50 ms", "p95 ms", "p99 ms", "max ms")
		for _, l := range lines {
			fmt.Fprintf(b, "  %-*s %9.1f %9.1f %9.1f %9.1f  %s\n", width, l.name, l.took.P50, l.took.P95, l.took.P99, l.took.Max, l.rest)
		}
	}
	if d := r.Drift; d != nil {
		fmt.Fprintf(b, "\n  drift of %s: p95 from %s to %s, %s", hours(d.Hours), ms(d.FirstP95), ms(d.LastP95), humanize.Format(d.P95PerHour, humanize.MsPerHour))
		if d.FirstMiB > 0 {
			fmt.Fprintf(b, "; memory of %s from %s to %s, %s", r.Server(), humanize.Format(d.FirstMiB, humanize.MiB), humanize.Format(d.LastMiB, humanize.MiB), humanize.Format(d.MiBPerHour, humanize.MiBPerHour))
		}
		b.WriteString("\n")
	}
}
