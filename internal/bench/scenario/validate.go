package scenario

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/bench/load"
	"github.com/hikyaku-chat/hikyaku/internal/setting"
)

// What a scenario is given has no defaults, but for [Soak]: the command line
// has them. Run refuses what Validate does, by the names of the flags.

const (
	maxUsers    = 100_000 // of a scenario that may be divided among processes
	maxRate     = 1e9     // messages, receipts or actions per second
	minRate     = 0.001   // likewise
	maxDuration = 365 * 24 * time.Hour
	minPhase    = time.Second // of what is measured
	giveRate    = "messages per second, such as 200"
	givePhase   = "a time such as 10s"
	giveNoPhase = "a time such as 10s, or 0s for none"
)

// validatePairs refuses a number of users that cannot be divided into pairs, or
// is above most.
func validatePairs(users, most int) error {
	if users%2 != 0 {
		return fmt.Errorf("users: %d users cannot be paired; give an even number from 2 to %d", users, most)
	}
	return setting.Between("users", users, 2, most, "an even number of users, such as 200")
}

// Validate returns the first error of a field.
func (l *Latency) Validate() error {
	if len(l.Users) == 0 {
		return errors.New("users: there are none; give a number of users, such as 200")
	}
	for _, users := range l.Users {
		if err := validatePairs(users, maxUsers); err != nil {
			return err
		}
	}
	if l.To < l.From {
		return fmt.Errorf("to: %v is below --from, which is %v; the rates must rise", l.To, l.From)
	}
	if l.Factor <= 1 {
		return fmt.Errorf("factor: %v is not above 1; give a factor up to 10, such as 1.5", l.Factor)
	}
	return cmp.Or(
		setting.Between("from", l.From, minRate, maxRate, giveRate),
		setting.Between("to", l.To, minRate, maxRate, giveRate),
		setting.Between("factor", l.Factor, 1, 10, "a factor from one rate to the next, such as 1.5"),
		setting.Between("halvings", l.Halvings, 0, 20, "steps of bisection, such as 2"),
		setting.Between("step", l.Step, minPhase, maxDuration, givePhase),
		setting.Between("warm-up", l.WarmUp, 0, maxDuration, giveNoPhase),
		setting.Between("max-p95", l.MaxP95, time.Microsecond, maxDuration, "a limit such as 170ms"),
	)
}

// Validate returns the first error of a field.
func (b *Burst) Validate() error {
	return cmp.Or(
		validatePairs(b.Users, maxUsers),
		setting.Between("load", b.Rate, minRate, maxRate, "messages per second, far above what is sustainable, such as 20000"),
		setting.Between("length", b.Duration, minPhase, maxDuration, givePhase),
		setting.Between("wait", b.Drain, 0, maxDuration, giveNoPhase),
	)
}

// Validate returns the first error of a field.
func (c *Connections) Validate() error {
	connect := load.ConnectOptions{}.WithDefaults()
	connect.Rate, connect.Concurrency = c.ConnectRate, c.Concurrency
	return cmp.Or(
		setting.Between("count", c.Users, 2, 1_000_000, "a number of connections, such as 10000"),
		connect.Validate(),
		setting.Between("hold", c.Hold, 0, maxDuration, giveNoPhase),
		setting.Between("sample", c.Sample, 2, c.Users, "how many of the users send afterwards, such as 200"),
		setting.Between("rate", c.Rate, minRate, maxRate, giveRate),
	)
}

// Validate returns the first error of a field.
func (f *Fanout) Validate() error {
	if len(f.Sizes) == 0 {
		return errors.New("sizes: there are none; give the members of each room, such as 100,1000")
	}
	for _, size := range f.Sizes {
		if err := setting.Between("sizes", size, 2, load.MaxConnections, "the members of each room, whom one process connects, such as 100,1000"); err != nil {
			return err
		}
	}
	return cmp.Or(
		setting.Between("deliveries", f.Deliveries, minRate, maxRate, "receipts per second, such as 20000"),
		setting.Between("speakers", f.Senders, 1, math.MaxInt32, "members of a room who send, such as 20"),
		setting.Between("length", f.Duration, minPhase, maxDuration, givePhase),
		setting.Between("warm-up", f.WarmUp, 0, maxDuration, giveNoPhase),
	)
}

// Validate returns the first error of a field.
func (s *Reconnect) Validate() error {
	reconnect := load.ReconnectOptions{}.WithDefaults()
	reconnect.Concurrency, reconnect.Spread = s.Concurrency, s.Spread
	return cmp.Or(
		validatePairs(s.Users, load.MaxConnections), // in one process
		setting.Between("rate", s.Rate, minRate, maxRate, giveRate),
		setting.Between("apart", s.Offset, 0, maxDuration, giveNoPhase),
		reconnect.Validate(),
	)
}

// WithDefaults returns s with the default for each zero that has one.
func (s Soak) WithDefaults() Soak {
	s.MaxActions = cmp.Or(s.MaxActions, 64)
	s.ActionTimeout = cmp.Or(s.ActionTimeout, 30*time.Second)
	return s
}

// Validate returns the first error of a field; a zero is one where it has a
// default.
func (s Soak) Validate() error {
	return cmp.Or(
		validatePairs(s.Users, load.MaxConnections), // in one process
		setting.Between("rate", s.Rate, minRate, maxRate, giveRate),
		setting.Between("acts", s.ActionRate, 0, maxRate, "other actions per second, such as 20, or 0 for none"),
		setting.Between("losses", s.DisconnectRate, 0, maxRate, "connections that are broken off per second, such as 1, or 0 for none"),
		setting.Between("window", s.Window, minPhase, maxDuration, "the duration of each step, such as 1m"),
		setting.Between("length", s.Duration, s.Window, maxDuration, "the duration of it all, such as 1h: one window at least"),
		setting.Between("max-actions", s.MaxActions, 1, math.MaxInt32, "concurrent actions, such as 64"),
		setting.Between("action-timeout", s.ActionTimeout, time.Millisecond, time.Hour, "how long an action may take, such as 30s"),
	)
}
