package figure_test

import (
	"math"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/bench/figure"
)

func TestWrite(t *testing.T) {
	for _, c := range []struct {
		value float64
		unit  figure.Unit
		want  string
	}{
		{0, figure.Count, "0"},
		{1234567, figure.Count, "1,234,567"},
		{999, figure.Count, "999"},
		{1000, figure.Count, "1,000"},
		{-1234.4, figure.Count, "-1,234"},
		{-0.001, figure.Count, "0"},
		{math.NaN(), figure.Count, "–"},
		{12400.4, figure.PerSecond, "12,400/s"},
		{3.14159, figure.Milliseconds, "3.14 ms"},
		{3.10, figure.Milliseconds, "3.1 ms"},
		{42.26, figure.Milliseconds, "42.3 ms"},
		{99.97, figure.Milliseconds, "100 ms"},
		{170, figure.Milliseconds, "170 ms"},
		{7031, figure.Milliseconds, "7,031 ms"},
		{15031, figure.Milliseconds, "15 s"},
		{1.25, figure.Seconds, "1.25 s"},
		{65, figure.Seconds, "1 min 5 s"},
		{100, figure.Percent, "100%"},
		{99.98, figure.Percent, "99.98%"},
		{99.999, figure.Percent, "99.99%"},
		{18.842916, figure.Percent, "18.84%"},
		{512, figure.Bytes, "512 B"},
		{5120, figure.Bytes, "5.12 kB"},
		{0.5, figure.MiBPerHour, "0.5 MiB/h"},
	} {
		if got := figure.Write(c.value, c.unit); got != c.want {
			t.Errorf("%v %q: %q, not %q", c.value, c.unit, got, c.want)
		}
	}
}

func TestTime(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 s", 400 * time.Millisecond: "0 s", 59 * time.Second: "59 s", time.Minute: "1 min", 125 * time.Second: "2 min 5 s",
		2*time.Hour + 3*time.Minute + 4*time.Second: "2 h 3 min", 59*time.Second + 700*time.Millisecond: "1 min",
	} {
		if got := figure.Time(d); got != want {
			t.Errorf("%v: %q, not %q", d, got, want)
		}
	}
}
