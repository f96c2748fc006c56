package gateway

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/hikyaku-chat/hikyaku/internal/batching"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/websocket"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// heartbeats answers pings, and checks devices: whether anything changed for them
// since their cursor (G4).
//
// A pong is sent at once, whatever the store does. A check is due once in
// Config.CheckInterval, in which it finds what no other mechanism noticed: losses
// on the bus are known, and clients resync then. While the bus is interrupted,
// every ping is checked.
type heartbeats struct {
	g      *Gateway
	queue  *batching.Queue[check]
	gather time.Duration // how long devices gather for a look-up
}

// check is a device that is to be checked.
type check struct {
	s      *session
	cursor string
}

const (
	checkBatch = 1000
	// checkConcurrency leaves most of a store's connections to others.
	checkConcurrency = 3
	checkTimeout     = 5 * time.Second
	checkGather      = time.Second
	// activeFor is how long a session counts as active after its client sent or
	// missed something: its heartbeats are short, so that a broken connection is
	// noticed.
	activeFor = 10 * time.Second
	// minPingInterval is how often a connection's pings are answered at most.
	minPingInterval = 50 * time.Millisecond
)

// heartbeat is a session's state of heartbeats, with times in Unix milliseconds.
// It is safe for concurrent use.
type heartbeat struct {
	activeAt atomic.Int64 // when the client last sent or missed something
	checkAt  atomic.Int64 // when the next check is due
	pingedAt atomic.Int64
	interval atomic.Int32 // until the last ping was due, in milliseconds
	checking atomic.Bool  // a check waits or is under way
}

// active records that the client sent or missed something.
func (h *heartbeat) active() { h.activeAt.Store(time.Now().UnixMilli()) }

func newHeartbeats(g *Gateway) *heartbeats {
	// No longer than a tenth of the interval, for tests with a short one.
	return &heartbeats{g: g, queue: batching.NewQueue[check](), gather: min(checkGather, g.cfg.CheckInterval/10)}
}

// run checks the devices that wait for it. What gathers in a moment is one look-up,
// which costs little more than one device. While the bus is interrupted nothing
// gathers, and several look-ups run at a time: then thousands of devices wait.
func (h *heartbeats) run() {
	var lookups errgroup.Group
	lookups.SetLimit(checkConcurrency)
	for h.queue.Ready().Wait(h.g.ctx) {
		interrupted := h.g.interrupted.Load()
		if !interrupted {
			sleep(h.g.ctx, h.gather)
		}
		for checks := h.queue.Take(checkBatch); len(checks) > 0; checks = h.queue.Take(checkBatch) {
			lookups.Go(func() error {
				h.check(h.g.ctx, checks)
				return nil
			})
			if !interrupted {
				_ = lookups.Wait()
			}
		}
	}
	_ = lookups.Wait()
}

// start begins the heartbeats of a session. Its list of conversations is newer
// than its first checks, which are spread over the interval.
func (h *heartbeats) start(s *session) {
	now := time.Now().UnixMilli()
	s.heartbeat.activeAt.Store(now)
	s.heartbeat.checkAt.Store(now + rand.Int64N(h.g.cfg.CheckInterval.Milliseconds()+1))
}

// answer answers a ping. It does not block.
func (h *heartbeats) answer(s *session, ping *wire.Ping) {
	now := time.Now().UnixMilli()
	if now-s.heartbeat.pingedAt.Load() < minPingInterval.Milliseconds() {
		return
	}
	s.heartbeat.pingedAt.Store(now)
	s.push(wire.Pong{T: "pong", NextMS: h.next(s, now).Milliseconds()})
	if ping.Cursor == "" || now < s.heartbeat.checkAt.Load() && !h.g.interrupted.Load() {
		return
	}
	if !s.heartbeat.checking.CompareAndSwap(false, true) {
		return // while the store hangs, pings go on
	}
	s.heartbeat.checkAt.Store(now + jittered(h.g.cfg.CheckInterval).Milliseconds())
	h.queue.Add(check{s, ping.Cursor})
}

// next returns the time until the next ping. It grows while a client is quiet.
func (h *heartbeats) next(s *session, now int64) time.Duration {
	quiet := now - s.heartbeat.activeAt.Load()
	interval := h.g.cfg.Heartbeat
	if quiet >= activeFor.Milliseconds() && !h.g.interrupted.Load() {
		interval = min(max(2*time.Duration(s.heartbeat.interval.Load())*time.Millisecond, interval), h.g.cfg.MaxHeartbeat)
	}
	s.heartbeat.interval.Store(int32(interval.Milliseconds())) //nolint:gosec // at most a minute
	return jittered(interval)
}

// jittered returns up to a fifth less than d, so that clients that connected at
// the same time do not stay together.
func jittered(d time.Duration) time.Duration { return d - rand.N(d/5+1) }

// check asks devices to sync that lack something. Those that could not be checked
// are checked with their next ping.
func (h *heartbeats) check(ctx context.Context, checks []check) {
	defer func() {
		for _, c := range checks {
			c.s.heartbeat.checking.Store(false)
		}
	}()
	devices := make([]store.Device, len(checks))
	for i, c := range checks {
		devices[i].User = c.s.user
		if err := h.g.deps.Cursors.Open(syncPurpose, c.s.user, c.cursor, &devices[i].After); err != nil {
			devices[i].After = "" // its sync will be refused, and begin anew
		}
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	changed, err := h.g.deps.Store.HasChanged(ctx, devices)
	if err != nil {
		if h.g.ctx.Err() == nil {
			h.g.log.Error("devices could not be checked for missed changes", "devices", len(devices), "error", err)
		}
		for _, c := range checks {
			c.s.heartbeat.checkAt.Store(0)
		}
		return
	}
	for i, c := range checks {
		if changed[i] {
			c.s.resync()
		}
	}
}

const (
	// resyncSteps and resyncPause spread the syncs of all clients over a second.
	resyncSteps = 20
	resyncPause = 50 * time.Millisecond
	// minResyncStep is how many clients may sync at once.
	minResyncStep = 100
	// minResyncInterval is the pause after a round: losses that go on must not keep
	// all clients syncing.
	minResyncInterval = time.Second
)

// resyncAll asks every client to sync when Notify was called, because it may have
// missed frames.
func (g *Gateway) resyncAll() {
	for g.resyncs.Wait(g.ctx) {
		var all []*session
		g.hub.each(func(s *session) { all = append(all, s) })
		for step := range slices.Chunk(all, max(len(all)/resyncSteps, minResyncStep)) {
			for _, s := range step {
				s.resync()
			}
			sleep(g.ctx, resyncPause)
		}
		sleep(g.ctx, minResyncInterval)
	}
}

var (
	resyncFrame     = websocket.NewFrame(wire.Encode(wire.Resync{T: "resync"}))
	resyncLostFrame = websocket.NewFrame(wire.Encode(wire.Resync{T: "resync", Lost: true}))
)

// resync asks the client to sync.
func (s *session) resync() {
	s.heartbeat.active()
	if s.g.interrupted.Load() {
		s.conn.Send(resyncLostFrame)
		return
	}
	s.conn.Send(resyncFrame)
}
