package chart

import (
	"github.com/hikyaku-chat/hikyaku/internal/bench/load"
	"github.com/hikyaku-chat/hikyaku/internal/bench/report"
)

// second is a part of a run, about a second long, or longer in a long run.
type second struct {
	load.Second
	start      float64 // At is its end
	recipients float64 // receipts of each message
}

func (s *second) per(count int64) float64 { return float64(count) / (s.At - s.start) }

// minSecond is the shortest part that has meaningful rates: what remains at the
// end of a phase is added to the second before it.
const minSecond = 0.4

// seconds returns the series of a run in not more than a maximum number of
// parts.
func seconds(r *report.Report, most int) []second {
	var all []second
	end := 0.0 // of the one before
	for _, s := range r.Series {
		length := s.At - end
		if length > 1.5 || length <= 0 {
			length = 1 // something went before that has no seconds
		}
		if n := len(all); n > 0 && length < minSecond {
			all[n-1].add(s)
		} else {
			all = append(all, second{Second: s, start: s.At - length, recipients: recipients(r, s.At)})
		}
		end = s.At
	}
	if len(all) <= most {
		return all
	}
	each := (len(all) + most - 1) / most
	thin := make([]second, 0, most)
	for i, s := range all {
		if i%each == 0 {
			s.Heat = append([]int64(nil), s.Heat...)
			thin = append(thin, s)
			continue
		}
		thin[len(thin)-1].add(s.Second)
	}
	return thin
}

// add adds a later second. Percentiles cannot be combined, so the worse ones
// are kept.
func (s *second) add(o load.Second) {
	s.At = o.At
	s.Sent += o.Sent
	s.Accepted += o.Accepted
	s.Refused += o.Refused
	s.Delivered += o.Delivered
	s.InFlight = max(s.InFlight, o.InFlight)
	s.Queue = max(s.Queue, o.Queue)
	s.Connected = o.Connected
	s.P50, s.P95, s.P99 = max(s.P50, o.P50), max(s.P95, o.P95), max(s.P99, o.P99)
	s.MemoryMiB = max(s.MemoryMiB, o.MemoryMiB)
	s.CPU = max(s.CPU, o.CPU)
	if len(s.Heat) < len(o.Heat) {
		s.Heat = append(append([]int64(nil), s.Heat...), make([]int64, len(o.Heat)-len(s.Heat))...)
	}
	for i, n := range o.Heat {
		s.Heat[i] += n
	}
}

// recipients returns how many devices received each message at a point of a
// run.
func recipients(r *report.Report, at float64) float64 {
	for _, s := range r.Steps {
		if at > s.From && at <= s.To+1 && s.PerSecond > 0 {
			return s.Receipts / s.PerSecond
		}
	}
	if r.MsgsPerS > 0 && r.Deliveries > 0 {
		return r.Deliveries / r.MsgsPerS
	}
	return 1
}

// Recipients returns how many devices received each message of a step: the size
// of its rooms. It is 0 when nothing arrived.
func Recipients(s *load.Result) float64 {
	if s.PerSecond <= 0 {
		return 0
	}
	return float64(int64(s.Receipts/s.PerSecond + 0.5))
}
