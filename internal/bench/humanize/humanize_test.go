package humanize_test

import (
	"math"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/bench/humanize"
)

func TestFormat(t *testing.T) {
	for _, c := range []struct {
		value float64
		unit  humanize.Unit
		want  string
	}{
		{0, humanize.Count, "0"},
		{1234567, humanize.Count, "1,234,567"},
		{999, humanize.Count, "999"},
		{1000, humanize.Count, "1,000"},
		{-1234.4, humanize.Count, "-1,234"},
		{-0.001, humanize.Count, "0"},
		{math.NaN(), humanize.Count, "–"},
		{12400.4, humanize.PerSecond, "12,400/s"},
		{3.14159, humanize.Milliseconds, "3.14 ms"},
		{3.10, humanize.Milliseconds, "3.1 ms"},
		{42.26, humanize.Milliseconds, "42.3 ms"},
		{99.97, humanize.Milliseconds, "100 ms"},
		{170, humanize.Milliseconds, "170 ms"},
		{7031, humanize.Milliseconds, "7,031 ms"},
		{15031, humanize.Milliseconds, "15 s"},
		{1.25, humanize.Seconds, "1.25 s"},
		{65, humanize.Seconds, "1 min 5 s"},
		{100, humanize.Percent, "100%"},
		{99.98, humanize.Percent, "99.98%"},
		{99.999, humanize.Percent, "99.99%"},
		{18.842916, humanize.Percent, "18.84%"},
		{512, humanize.Bytes, "512 B"},
		{5120, humanize.Bytes, "5.12 kB"},
		{0.5, humanize.MiBPerHour, "0.5 MiB/h"},
	} {
		if got := humanize.Format(c.value, c.unit); got != c.want {
			t.Errorf("%v %q: %q, not %q", c.value, c.unit, got, c.want)
		}
	}
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 s", 400 * time.Millisecond: "0 s", 59 * time.Second: "59 s", time.Minute: "1 min", 125 * time.Second: "2 min 5 s",
		2*time.Hour + 3*time.Minute + 4*time.Second: "2 h 3 min", 59*time.Second + 700*time.Millisecond: "1 min",
	} {
		if got := humanize.Duration(d); got != want {
			t.Errorf("%v: %q, not %q", d, got, want)
		}
	}
}
