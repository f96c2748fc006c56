package api

import (
	"context"
	"net/http"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/webpush"
)

// Push has the key that browsers need to subscribe, and checks subscriptions;
// see package webpush.
type Push interface {
	PublicKey() string
	Check(s webpush.Subscription) error
}

// PushKey is what a browser needs to subscribe.
type PushKey struct {
	PublicKey string `json:"public_key" doc:"the installation's VAPID key, an uncompressed point of P-256 in base64url without padding"`
}

// PushSubscription is the Web Push subscription of a device, as its browser
// created it.
type PushSubscription struct {
	Endpoint string   `json:"endpoint" maxLength:"2048"`
	Keys     PushKeys `json:"keys"`
}

// PushKeys are the keys of a subscription, in base64url without padding.
type PushKeys struct {
	P256DH string `json:"p256dh" maxLength:"128"`
	Auth   string `json:"auth" maxLength:"64"`
}

// PushEndpoint identifies a subscription.
type PushEndpoint struct {
	Endpoint string `json:"endpoint" maxLength:"2048"`
}

func (a *API) registerPush() {
	const tag = "Notifications"
	handle(a, operation{id: "get-push", method: http.MethodGet, path: "/push", tag: tag, summary: "What a browser needs to subscribe; not found where the installation sends no notifications"},
		func(_ context.Context, _ *empty) (*body[PushKey], error) {
			if err := a.requirePush(); err != nil {
				return nil, err
			}
			return &body[PushKey]{PushKey{PublicKey: a.cfg.Push.PublicKey()}}, nil
		})
	handle(a, operation{id: "put-push-subscription", method: http.MethodPut, path: "/push/subscription", tag: tag, summary: "Have this device notified, until its session ends", status: http.StatusNoContent},
		func(ctx context.Context, in *body[PushSubscription]) (*empty, error) {
			if err := a.requirePush(); err != nil {
				return nil, err
			}
			s := webpush.Subscription{Endpoint: in.Body.Endpoint, P256DH: in.Body.Keys.P256DH, Auth: in.Body.Keys.Auth}
			if err := a.cfg.Push.Check(s); err != nil {
				return nil, err
			}
			c := callerOf(ctx)
			return &empty{}, a.cfg.Store.PutSubscription(ctx, store.Subscription{
				User: c.user.ID, Session: c.session.ID, Endpoint: s.Endpoint, P256DH: s.P256DH, Auth: s.Auth,
			})
		})
	handle(a, operation{id: "delete-push-subscription", method: http.MethodDelete, path: "/push/subscription", tag: tag, summary: "Have a device notified no more", status: http.StatusNoContent},
		func(ctx context.Context, in *body[PushEndpoint]) (*empty, error) {
			if err := a.requirePush(); err != nil {
				return nil, err
			}
			return &empty{}, a.cfg.Store.DeleteSubscription(ctx, callerID(ctx), in.Body.Endpoint)
		})
}

// requirePush returns a refusal when the installation sends no notifications.
func (a *API) requirePush() error {
	if a.cfg.Push == nil {
		return chat.Refuse(chat.CodeNotFound, "", "this installation sends no notifications")
	}
	return nil
}
