package throttle

import "time"

// WithNow sets the limiter's clock.
func (l *Limiter) WithNow(now func() time.Time) *Limiter {
	l.now = now
	return l
}
