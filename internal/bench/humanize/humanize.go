// Package humanize formats figures for people: 12,400/s, 3.1 ms, 1 min 5 s.
package humanize

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// Unit is the unit of a figure, in its written form.
type Unit string

// The units.
const (
	Count        Unit = ""
	PerSecond    Unit = "/s"
	Milliseconds Unit = "ms"
	Seconds      Unit = "s"
	Percent      Unit = "%"
	Bytes        Unit = "B"
	MiB          Unit = "MiB"
	Processors   Unit = "cores" // processors' worth of time
	MiBPerHour   Unit = "MiB/h"
	MsPerHour    Unit = "ms/h"
	Microseconds Unit = "µs"
	CPUSeconds   Unit = "CPU s" // seconds of processors' time
)

// Format formats a figure with its unit.
func Format(v float64, u Unit) string {
	number, unit := Split(v, u)
	switch unit {
	case "", "/s", "%":
		return number + unit
	}
	return number + " " + unit
}

// Split returns the formatted figure and its unit separately. The unit may be a
// different one that fits better.
func Split(v float64, u Unit) (number, unit string) {
	switch a := math.Abs(v); {
	case u == Milliseconds && a >= 10_000:
		return Number(v / 1000), "s"
	case u == Seconds && a >= 60:
		return Duration(time.Duration(v * float64(time.Second))), ""
	case u == Percent:
		// Rounded down: 100% is all.
		return strconv.FormatFloat(math.Floor(v*100+1e-9)/100, 'f', -1, 64), "%"
	case u == Bytes && a >= 1000:
		return Number(v / 1000), "kB"
	}
	return Number(v), string(u)
}

// Number formats a number with at least three significant digits, and without
// decimals from 100 on.
func Number(v float64) string {
	digits := 0
	switch a := math.Abs(v); {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "–"
	case a == math.Trunc(a) || a >= 99.95:
	case a >= 9.995:
		digits = 1
	default:
		digits = 2
	}
	text := strconv.FormatFloat(v, 'f', digits, 64)
	whole, rest, _ := strings.Cut(text, ".")
	whole, negative := strings.CutPrefix(whole, "-")
	var b strings.Builder
	if negative && strings.Trim(text, "-0.") != "" {
		b.WriteByte('-')
	}
	for i, c := range whole {
		if i > 0 && (len(whole)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(c)
	}
	if rest = strings.TrimRight(rest, "0"); rest != "" {
		b.WriteString("." + rest)
	}
	return b.String()
}

// Duration formats a duration in seconds, minutes or hours.
func Duration(d time.Duration) string {
	s := int(d.Round(time.Second) / time.Second)
	parts := []string{}
	for _, u := range []struct {
		seconds int
		name    string
	}{{3600, "h"}, {60, "min"}, {1, "s"}} {
		if n := s / u.seconds; n > 0 {
			parts = append(parts, strconv.Itoa(n)+" "+u.name)
			s -= n * u.seconds
		}
	}
	if len(parts) == 0 {
		return "0 s"
	}
	return strings.Join(parts[:min(len(parts), 2)], " ")
}
