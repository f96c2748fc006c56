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
	b := localpubsub.New(0)
	a.onStop("bus", func(context.Context) error { return b.Close() })
	queue := embedded.New(embedded.Config{Logger: a.log})
	pres := localpresence.New(nil)
	a.backends = backends{
		store: st, broker: queue, bus: b, presence: pres, announcer: fanout.NewAnnouncer(b, pres, st, a.log),
		throttle: throttle.New(throttle.Config{}), sendLimiter: throttle.NewLimiter(a.cfg.Gateway.PerSecond, a.cfg.Gateway.Burst),
		pushQueue: embedded.NewNotifyQueue(0),
		node:      "embedded", standalone: true,
		required: map[string]check{"store": st.Ping, "broker": queue.Ready},
	}
	return nil
}
