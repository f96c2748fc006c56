package app

import (
	"cmp"
	"fmt"
	"strconv"
	"time"
)

// validateLimits returns an error for limits with which the process would start
// and serve nobody, or would silently use other limits. It returns the first error
// only.
func (c *Config) validateLimits() error {
	g := &c.Gateway
	return cmp.Or(
		checkRange("drain", c.Drain, time.Second, time.Hour, "the time that a stop may take, such as 20s"),
		// Rate limiters count in whole microseconds.
		checkRange("rate", g.PerSecond, 0.001, 1e6, "messages per second, such as 20"),
		checkRange("burst", g.Burst, 1, 1e6, "messages at once, such as 60"),
		checkRange("in-flight", g.InFlight, 1, 1e6, "unanswered messages of one connection, such as 128"),
		checkRange("connections", g.ConnectionsPerUser, 1, 1e6, "connections of one user, such as 50"),
		// A connection without a frame for 90 s is closed.
		checkRange("heartbeat", g.Heartbeat, 100*time.Millisecond, time.Minute, "the time between heartbeats, such as 3s"),
		checkRange("goodbye-spread", g.GoodbyeSpread, time.Millisecond, time.Hour, "the time over which clients go elsewhere, such as 5s"),
		// Delayed jobs are unacknowledged, which RabbitMQ allows for half an hour.
		checkRange("push-delay", c.Push.Delay, time.Millisecond, 10*time.Minute, "the time before a notification, such as 5s"),
		checkRange("hash-memory", c.Hash.MemoryKiB, 8, 4<<20, "KiB for one password, such as 19456"),
		checkRange("hash-at-once", c.Hash.Concurrency, 1, 1000, "passwords side by side, such as 4"),
	)
}

// checkRange returns an error when the value of a flag is not between least and
// most; give describes a valid value.
func checkRange[T int | float64 | time.Duration](flag string, value, least, most T, give string) error {
	if value >= least && value <= most { // false for NaN
		return nil
	}
	return fmt.Errorf("--%s: %s is not between %s and %s; give %s", flag, formatNumber(value), formatNumber(least), formatNumber(most), give)
}

// formatNumber formats numbers without exponents.
func formatNumber(v any) string {
	if f, ok := v.(float64); ok {
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	return fmt.Sprint(v)
}
