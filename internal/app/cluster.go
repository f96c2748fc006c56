package app

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"os"
	"slices"
	"sync/atomic"

	"github.com/hikyaku-chat/hikyaku/internal/broker/rabbitmq"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/fanout"
	"github.com/hikyaku-chat/hikyaku/internal/presence"
	"github.com/hikyaku-chat/hikyaku/internal/presence/redispresence"
	"github.com/hikyaku-chat/hikyaku/internal/pubsub/redispubsub"
	"github.com/hikyaku-chat/hikyaku/internal/redisconn"
	"github.com/hikyaku-chat/hikyaku/internal/store/postgres"
	"github.com/hikyaku-chat/hikyaku/internal/submission"
	"github.com/hikyaku-chat/hikyaku/internal/throttle"
	"github.com/hikyaku-chat/hikyaku/internal/throttle/redisthrottle"
)

// openCluster connects to the servers that the processes of an installation
// share, after it has checked that each belongs to this installation.
func (a *App) openCluster(ctx context.Context) error {
	// Not with the embedded parts: what a batch shares there costs less than the wait.
	a.cfg.Gateway.Linger = a.cfg.Linger
	st, err := postgres.Open(ctx, postgres.Config{
		URL: a.cfg.Database, Replicas: a.cfg.Replicas, Connections: a.cfg.DatabaseConnections, Logger: a.log,
	})
	if err != nil {
		return err
	}
	a.onStop("database", func(context.Context) error { return st.Close() })
	if err := st.ClaimPartitions(ctx, a.cfg.Partitions); err != nil {
		return err
	}

	shared, err := redisconn.Open(ctx, a.cfg.Redis)
	if err != nil {
		return err
	}
	a.onStop("connection to Redis", func(context.Context) error { shared.Close(); return nil })
	if err := shared.Claim(ctx, st.Installation()); err != nil {
		return err
	}
	b, err := redispubsub.New(shared, redispubsub.Config{Logger: a.log})
	if err != nil {
		return err
	}
	a.onStop("bus", func(context.Context) error { return b.Close() })
	a.countBatches("bus", b.Published)
	var announce atomic.Pointer[fanout.Announcer] // needs presence, which may call OnChange before the announcer exists
	pres := redispresence.New(shared, redispresence.Config{Logger: a.log, OnChange: func(ctx context.Context, s presence.State) {
		if !s.LastSeen.IsZero() {
			err := st.SetLastSeen(ctx, s.User, s.LastSeen)
			if err != nil && chat.CodeOf(err) != chat.CodeNotFound { // the account may have been deleted
				a.log.WarnContext(ctx, "the last-seen time could not be stored", "user", s.User, "error", err)
			}
		}
		if announce := announce.Load(); announce != nil {
			announce.PresenceChanged(ctx, s)
		}
	}, OnRegistered: func(users ...chat.UserID) {
		if g := a.gateway.Load(); g != nil {
			g.Resync(users...)
		}
	}})
	a.onStop("presence", func(context.Context) error { pres.Close(); return nil })
	announce.Store(fanout.NewAnnouncer(b, pres, st, a.log))

	claimed, err := st.BrokerClaimed(ctx)
	if err != nil {
		return err
	}
	queue, err := rabbitmq.Open(ctx, rabbitmq.Config{
		URLs: a.cfg.Brokers, Installation: st.Installation(), Claimed: claimed, Partitions: a.cfg.Partitions,
		DeadLetterRetention: a.cfg.DeadLetterRetention, MaxDeadLetters: a.cfg.MaxDeadLetters, Linger: a.cfg.Linger / 2, Logger: a.log,
	})
	if err != nil {
		return err
	}
	a.onStop("broker", queue.Close)
	a.countBatches("publish", queue.Published)
	if err := st.ClaimBroker(ctx); err != nil {
		return err
	}
	if err := a.warnOfSingleNodes(ctx, st); err != nil {
		return err
	}

	limits := redisthrottle.New(shared, a.log)
	guesses, err := limits.Throttle(throttle.Config{})
	if err != nil {
		return err
	}
	sendLimiter, err := limits.Limiter("sends", a.cfg.Gateway.PerSecond, a.cfg.Gateway.Burst)
	if err != nil {
		return err
	}
	a.runUntilStop("rate limit of messages", sendLimiter.Run)
	perSecond, burst := a.cfg.registrationRate()
	registering, err := limits.Limiter("registrations", perSecond, burst)
	if err != nil {
		return err
	}
	a.runUntilStop("rate limit of registrations", registering.Run)
	idempotency := submission.NewIdempotencyCache(st, a.log)
	a.runUntilStop("look-up of client ids", idempotency.Run)
	a.runUntilStop("watch of the epoch", func(ctx context.Context) {
		for _, changed := st.Epoch(); ; {
			select {
			case <-ctx.Done():
				return
			case <-changed:
			}
			_, changed = st.Epoch() // first: an epoch that begins now is not passed by
			idempotency.Forget()
		}
	})
	a.backends = backends{
		store: st, broker: queue, bus: b, presence: pres, announcer: announce.Load(),
		throttle: guesses, registering: registering, sendLimiter: sendLimiter, idempotency: idempotency,
		pushQueue: queue.NotifyQueue(),
		node:      nodeName(),
		// Without the broker users can still read, and their clients keep what
		// they write; without Redis messages arrive late.
		required: map[string]check{"database": st.Ping},
		optional: map[string]check{"broker": queue.Ready, "redis": shared.Ping},
	}
	for name, ping := range st.Replicas() {
		a.backends.optional[name] = ping
	}
	if slices.Contains(a.cfg.Roles, RoleWorker) || slices.Contains(a.cfg.Roles, RolePush) {
		a.backends.required["queue"] = queue.Consuming
	}
	return nil
}

// nodeName returns a new, unique name for this process. It contains the host name,
// for readers of logs.
func nodeName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "hikyaku"
	}
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails (Go 1.24)
	return host + "-" + hex.EncodeToString(b[:])
}
