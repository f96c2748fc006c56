package gateway

import (
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/throttle"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// Every frame of a connection costs something, whatever it is, before it is looked
// at. Costs are times: a connection may spend a second each second, and budgetSize at
// once. What it spends beyond that is refused, and beyond debtLimit more the
// connection is closed. So what a connection may cost the server is bounded, however
// much its client sends.
const (
	budgetSize = 20 * time.Second
	debtLimit  = 10 * time.Second
	// syncShare of the budget may be spent on syncs, which wait instead of being refused:
	// the rest is for frames that do not wait.
	syncShare = budgetSize / 4
	// requestCost is that of a frame that has the server do something: 50 of them a
	// second are half of what a connection may spend. A send costs less, since what it has
	// the server do is limited by the user's rate.
	requestCost = 10 * time.Millisecond
	// syncCost limits a client that only asks to 50 syncs a second.
	syncCost = 2 * requestCost
	// malformedCost is that of a frame that no working client sends.
	malformedCost = 20 * requestCost
	// watchCost is that of a list of as many users as may be watched.
	watchCost = 10 * requestCost
)

// budget is that of one connection: the time at which everything is paid for, since
// costs.epoch. It is a token bucket by the generic cell rate algorithm. Only the
// connection's reader uses it.
type budget time.Duration

// spend adds a cost, and returns the debt.
func (b *budget) spend(now, cost time.Duration) (debt time.Duration) {
	*b = max(*b, budget(now)) + budget(cost)
	return time.Duration(*b) - now
}

// costs are those of the frames of a gateway's clients. They follow from what the
// configuration allows: a client that keeps to it never spends too much.
type costs struct {
	epoch   time.Time
	frame   time.Duration // of any frame
	perMiB  time.Duration // of a frame's bytes
	watched time.Duration // of each user of a list to be watched
	// connects limits how often an account connects. debts has what sessions owe whose
	// connections are closed, so that nobody gets more by connecting again.
	connects, debts *throttle.Limiter
}

func newCosts(cfg Config) (*costs, error) {
	const (
		sendShare, bytesShare = 0.3, 0.1 // of a second each, for sends at their rate
		burstShare            = 0.1      // of budgetSize, for sends at once and again for their bytes
		// maxFrameCost and maxPerMiB leave room for frames that are no sends, where hardly
		// any may be sent.
		maxFrameCost = time.Millisecond
		maxPerMiB    = 100 * time.Millisecond
	)
	// A client that is refused may send all that is in flight again, after 100 ms.
	perSecond := cfg.PerSecond + float64(cfg.InFlight)*float64(time.Second/errOrder.After)
	burst := float64(cfg.Burst + cfg.InFlight + maxRefused)
	mib := float64(cfg.MaxFrame) / (1 << 20)
	each := func(share, perSecond, burst float64) time.Duration {
		return time.Duration(min(share*float64(time.Second)/perSecond, burstShare*float64(budgetSize)/burst))
	}
	// All of a user's connections may be opened at once, four times.
	connects, err := throttle.NewLimiter(4*float64(cfg.ConnectionsPerUser)/budgetSize.Seconds(), 4*cfg.ConnectionsPerUser)
	if err != nil {
		return nil, err
	}
	debts, err := throttle.NewLimiter(1, int(budgetSize/time.Second))
	if err != nil {
		return nil, err
	}
	return &costs{
		epoch:    time.Now(),
		frame:    min(each(sendShare, perSecond, burst), maxFrameCost),
		perMiB:   min(each(bytesShare, cfg.PerSecond*mib, float64(cfg.Burst)*mib), maxPerMiB),
		watched:  watchCost / time.Duration(cfg.WatchUsers),
		connects: connects,
		debts:    debts,
	}, nil
}

// of returns the cost of a frame of so many bytes, whatever it is.
func (c *costs) of(size int) time.Duration { return c.frame + time.Duration(size)*c.perMiB>>20 }

// ofRequest returns what a decoded frame costs besides: nil stands for one of an
// unknown type.
func (c *costs) ofRequest(frame wire.Inbound) time.Duration {
	switch f := frame.(type) {
	case *wire.Send, *wire.Withdraw, *wire.Ping:
		return 0 // what they do is limited elsewhere
	case *wire.Sync:
		return syncCost
	case *wire.Watch:
		return requestCost + c.watched*time.Duration(len(f.Users))
	}
	return requestCost
}

func (c *costs) now() time.Duration { return time.Since(c.epoch) }

// connect returns the budget of a new connection, which begins with what its session
// owes. When that is too much, or the user connects too often, it returns how long to
// wait. What one device owes is none of the user's others.
func (c *costs) connect(user chat.UserID, session chat.SessionID) (b budget, wait time.Duration) {
	debt := c.debts.Acquire(session.String())
	defer debt.Release()
	owed := debt.UntilFull()
	b = budget(c.now() + owed)
	if owed > budgetSize {
		return b, owed - budgetSize // however often it tries, the user's others may connect
	}
	connects := c.connects.Acquire(user.String())
	defer connects.Release()
	return b, connects.Take()
}

// disconnect keeps what the connection of a session owes.
func (c *costs) disconnect(session chat.SessionID, b budget) {
	if owed := time.Duration(b) - c.now(); owed > 0 {
		debt := c.debts.Acquire(session.String())
		defer debt.Release()
		debt.Merge(owed)
	}
}
