package app

import (
	"context"

	"github.com/hikyaku-chat/hikyaku/internal/broker/embedded"
	"github.com/hikyaku-chat/hikyaku/internal/fanout"
	"github.com/hikyaku-chat/hikyaku/internal/presence/localpresence"
	"github.com/hikyaku-chat/hikyaku/internal/pubsub/localpubsub"
	"github.com/hikyaku-chat/hikyaku/internal/throttle"
)

// openEmbedded opens the embedded backends, which run in this process.
func (a *App) openEmbedded(ctx context.Context) error {
	if err := makeDataDir(a.cfg.Data); err != nil {
		return err
	}
	release, err := lockDataDir(a.cfg.Data)
	if err != nil {
		return err
	}
	a.onStop("data folder", func(context.Context) error { release(); return nil })
	st, err := openData(ctx, a.cfg.Data, serverNode, a.log)
	if err != nil {
		return err
	}
	a.onStop("store", func(context.Context) error { return st.Close() })
	b, err := localpubsub.New(localpubsub.Config{})
	if err != nil {
		return err
	}
	a.onStop("bus", func(context.Context) error { return b.Close() })
	queue, err := embedded.New(embedded.Config{Logger: a.log})
	if err != nil {
		return err
	}
	notifications, err := embedded.NewNotifyQueue(embedded.NotifyQueueConfig{})
	if err != nil {
		return err
	}
	guesses, err := throttle.New(throttle.Config{})
	if err != nil {
		return err
	}
	sends, err := throttle.NewLimiter(a.cfg.Gateway.PerSecond, a.cfg.Gateway.Burst)
	if err != nil {
		return err
	}
	registering, err := throttle.NewLimiter(a.cfg.registrationRate())
	if err != nil {
		return err
	}
	pres := localpresence.New(nil)
	a.backends = backends{
		store: st, broker: queue, bus: b, presence: pres, announcer: fanout.NewAnnouncer(b, pres, st, a.log),
		throttle: guesses, registering: registering, sendLimiter: sends,
		pushQueue: notifications,
		node:      "embedded", standalone: true,
		required: map[string]check{"store": st.Ping, "broker": queue.Ready},
	}
	return nil
}
