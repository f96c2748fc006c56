package app

import (
	"context"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/webpush"
)

// PushConfig is the configuration of notifications for offline users.
type PushConfig struct {
	// Contact is the operator's contact for push services, a mailto: or https:
	// address. Empty means no notifications.
	Contact string
	// Delay is how long a message waits before its notification.
	Delay time.Duration
	// AllowPrivate lets notifications go to private addresses, for tests.
	AllowPrivate bool
}

// openPush opens the sender with the installation's keys, which the first process
// generates. Without a contact there are no notifications.
func (a *App) openPush(ctx context.Context) error {
	if a.cfg.Push.Contact == "" {
		a.backends.pushQueue = nil
		return nil
	}
	public, private, err := a.backends.store.PushKeys(ctx, func() (string, string, error) {
		k, err := webpush.GenerateKeys()
		return k.Public, k.Private, err
	})
	if err != nil {
		return err
	}
	a.backends.sender, err = webpush.New(webpush.Config{
		Keys: webpush.Keys{Public: public, Private: private}, Contact: a.cfg.Push.Contact, AllowPrivate: a.cfg.Push.AllowPrivate,
	})
	if err != nil {
		return err
	}
	a.onStop("push sender", func(context.Context) error { a.backends.sender.Close(); return nil })
	a.backends.announcer = a.backends.announcer.WithNotifications(a.backends.pushQueue)
	return nil
}
