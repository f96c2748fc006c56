package websocket

import (
	"math/rand/v2"
	"testing"
	"time"
)

// The sweep finds each silent client at the tick at which it is overdue, as if it
// looked at all at every tick, and looks at all only when one may be.
func TestSweepFindsTheSilent(t *testing.T) {
	const timeout, tick, ticks, clients = 90 * time.Second, 500 * time.Millisecond, 4000, 100
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a test's choices
		s := &Server{cfg: Config{IdleTimeout: timeout}, conns: map[*Conn]struct{}{}, closing: map[*Conn]struct{}{}}
		var w sweep
		looks, ended := 0, 0
		next := map[*Conn]int64{} // when a client sends again
		for n := range int64(ticks) {
			now := n * int64(tick)
			s.clock.Store(now)
			want := 0
			for c := range s.conns {
				if now-c.lastRead.Load() > int64(timeout) {
					want++
				}
			}
			before := w.idleFrom
			found := w.overdue(s, now)
			if w.idleFrom != before {
				looks++
			}
			if len(found) != want {
				t.Fatalf("schedule %d, after %v: %d clients found, %d are silent", seed, time.Duration(now), len(found), want)
			}
			for _, c := range found {
				delete(s.conns, c)
				ended++
			}
			for c := range s.conns {
				if next[c] <= now {
					c.lastRead.Store(now)
					next[c] = now + int64(30*time.Second)
					if r.IntN(100) == 0 {
						next[c] = now + int64(timeout) + r.Int64N(int64(timeout)) // too late
					}
				}
			}
			for len(s.conns) < clients && r.IntN(10) == 0 {
				c := &Conn{server: s}
				c.lastRead.Store(now)
				s.conns[c] = struct{}{}
			}
		}
		if ended == 0 || looks > ticks/10 {
			t.Errorf("schedule %d: %d silent clients were ended, in %d looks at all", seed, ended, looks)
		}
	}
}
