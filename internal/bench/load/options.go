package load

import (
	"cmp"
	"math"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/setting"
)

// MaxConnections is how many connections one process holds, at most: less than
// the usual limit of open files.
const MaxConnections = 15_000

// Options configure virtual users.
type Options struct {
	BodySize int // bytes of each text, 32 to 4,000; default 120
}

// WithDefaults returns o with the default for each zero.
func (o Options) WithDefaults() Options {
	o.BodySize = cmp.Or(o.BodySize, 120)
	return o
}

// Validate returns the first error of a field; a zero is one.
func (o Options) Validate() error {
	return setting.Between("body", o.BodySize, 32, 4000, "bytes of each text, such as 120")
}

// ConnectOptions configure how users connect.
type ConnectOptions struct {
	Rate          float64       // connections that are started each second, to 1,000,000; 0 means as fast as possible
	Concurrency   int           // connections that are being opened at the same time, at most, from 1; default 64
	Timeout       time.Duration // for each connection, from 1 ms to 1 h; default 30 s
	AllowFailures bool          // failures are counted; otherwise the first one ends Connect
	OnTick        func(Second)  // once a second; may be nil
}

// WithDefaults returns o with the default for each zero.
func (o ConnectOptions) WithDefaults() ConnectOptions {
	o.Concurrency = cmp.Or(o.Concurrency, 64)
	o.Timeout = cmp.Or(o.Timeout, 30*time.Second)
	return o
}

// Validate returns the first error of a field; a zero is one where it has a
// default.
func (o ConnectOptions) Validate() error {
	return cmp.Or(
		setting.Between("per-second", o.Rate, 0, 1e6, "connections that are opened each second, such as 1000, or 0 for as fast as possible"),
		setting.Between("at-once", o.Concurrency, 1, math.MaxInt32, "connections that are being opened at the same time, such as 64"),
		setting.Between("connect-timeout", o.Timeout, time.Millisecond, time.Hour, "how long opening a connection may take, such as 30s"),
	)
}

// ReconnectOptions configure how disconnected users connect again.
type ReconnectOptions struct {
	ConnectOptions
	// Spread is the interval over which the attempts are spread at random, to
	// 1 h; 0 begins all at once.
	Spread time.Duration
}

// WithDefaults returns o with the default for each zero.
func (o ReconnectOptions) WithDefaults() ReconnectOptions {
	o.ConnectOptions = o.ConnectOptions.WithDefaults()
	return o
}

// Validate returns the first error of a field; a zero is one where it has a
// default.
func (o ReconnectOptions) Validate() error {
	return cmp.Or(
		o.ConnectOptions.Validate(),
		setting.Between("spread", o.Spread, 0, time.Hour, "the interval over which users come back, such as 5s, or 0s for all at once"),
	)
}
