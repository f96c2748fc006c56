package throttle

import "time"

// WithNow gives a limiter a clock.
func (l *Limiter) WithNow(now func() time.Time) *Limiter {
	l.now = now
	return l
}
