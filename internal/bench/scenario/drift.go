package scenario

import (
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/bench/report"
)

// drift compares the end of a long run with its beginning. The first tenth is
// excluded from the slopes, because caches fill in it.
func drift(r *report.Report, length time.Duration) *report.Drift {
	var at, p95, memAt, memory []float64 // hours; ms; hours; MiB
	for _, s := range r.Series {
		if s.Delivered > 0 {
			at, p95 = append(at, s.At/3600), append(p95, s.P95)
		}
		if s.MemoryMiB > 0 {
			memAt, memory = append(memAt, s.At/3600), append(memory, s.MemoryMiB)
		}
	}
	d := &report.Drift{Hours: length.Hours()}
	d.FirstP95, d.LastP95, d.P95PerHour = firstAndLast(at, p95)
	d.FirstMiB, d.LastMiB, d.MiBPerHour = firstAndLast(memAt, memory)
	return d
}

// firstAndLast returns the means of the second and of the last tenth, and the
// slope from the second tenth on.
func firstAndLast(x, y []float64) (first, last, slope float64) {
	tenth := len(y) / 10
	if tenth == 0 {
		return 0, 0, 0
	}
	return mean(y[tenth : 2*tenth]), mean(y[len(y)-tenth:]), leastSquaresSlope(x[tenth:], y[tenth:])
}

func mean(of []float64) float64 {
	sum := 0.0
	for _, v := range of {
		sum += v
	}
	return sum / float64(len(of))
}

// leastSquaresSlope returns the slope of the line that fits the points best.
func leastSquaresSlope(x, y []float64) float64 {
	mx, my := mean(x), mean(y)
	var sxy, sxx float64
	for i := range x {
		sxy += (x[i] - mx) * (y[i] - my)
		sxx += (x[i] - mx) * (x[i] - mx)
	}
	if sxx == 0 {
		return 0
	}
	return sxy / sxx
}
