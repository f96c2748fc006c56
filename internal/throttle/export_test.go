package throttle

import "time"

// WithNow gives a limiter a clock.
func (l *Limiter) WithNow(now func() time.Time) *Limiter {
	l.now, l.epoch = now, now()
	return l
}
