package redisthrottle

import (
	"context"
	"strconv"
	"time"
)

// Patience is how long a call may take when Redis does not answer.
const Patience = patience

// WithNow makes the scripts go by a clock of the test's own. It may be slower
// than Redis', which drops the keys; so they live for longer.
func (l *Limits) WithNow(now func() time.Time) *Limits {
	l.clock = clock{
		lua:  `local now, spare = tonumber(ARGV[#ARGV]), 3600000 `,
		args: func() []string { return []string{strconv.FormatInt(now().UnixMicro(), 10)} },
	}
	return l
}

// Patient makes calls wait for long: on a busy machine a Redis that is there
// may be slow.
func (l *Limits) Patient() *Limits {
	l.patience = time.Minute
	return l
}

// Settle does at once what Run does from time to time.
func (l *Limiter) Settle(ctx context.Context) { l.settleAll(ctx) }
