package app

import (
	"context"

	"github.com/hikyaku-chat/hikyaku/internal/broker/embedded"
	"github.com/hikyaku-chat/hikyaku/internal/fanout"
	"github.com/hikyaku-chat/hikyaku/internal/presence/localpresence"
	"github.com/hikyaku-chat/hikyaku/internal/pubsub/localpubsub"
	"github.com/hikyaku-chat/hikyaku/internal/throttle"
)

// openEmbedded opens the parts of a system in one process.
func (a *App) openEmbedded(ctx context.Context) error {
	if err := makeFolder(a.cfg.Data); err != nil {
		return err
	}
	release, err := lockData(a.cfg.Data)
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
	queue, err := embedded.New(embedded.Config{Logger: a.log})
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
	where := localpresence.New(nil)
	a.parts = parts{
		store: st, broker: queue, bus: b, presence: where, announce: fanout.NewAnnouncer(b, where, st, a.log),
		throttle: guesses, sends: sends,
		pushes: embedded.NewNotifyQueue(0),
		node:   "embedded", alone: true,
		needs: map[string]check{"store": st.Ping, "broker": queue.Ready},
	}
	return nil
}
