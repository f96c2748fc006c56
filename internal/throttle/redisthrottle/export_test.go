package redisthrottle

import (
	"strconv"
	"time"
)

// CallTimeout is how long a call may take when Redis does not answer.
const CallTimeout = callTimeout

// WithNow makes the scripts use the test's clock. It may be slower than Redis'
// clock, by which keys expire; so keys live longer.
func (l *Limits) WithNow(now func() time.Time) *Limits {
	l.clock = clock{
		lua:  `local now, spare = tonumber(ARGV[#ARGV]), 3600000 `,
		args: func() []string { return []string{strconv.FormatInt(now().UnixMicro(), 10)} },
	}
	return l
}

// WithLongTimeout makes calls wait long: on a busy machine a working Redis may be
// slow.
func (l *Limits) WithLongTimeout() *Limits {
	l.timeout = time.Minute
	return l
}
