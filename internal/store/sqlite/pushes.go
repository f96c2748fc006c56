package sqlite

import (
	"context"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

type pushKeys struct{ public, private string }

// PushKeys returns the installation's key pair; see the contract.
func (s *Store) PushKeys(ctx context.Context, generate func() (public, private string, err error)) (string, string, error) {
	kept, err := read(ctx, s, "read the keys of Web Push", readPushKeys)
	if err != nil || kept.public != "" {
		return kept.public, kept.private, err
	}
	var fresh pushKeys
	if fresh.public, fresh.private, err = generate(); err != nil {
		return "", "", err
	}
	kept, err = change(ctx, s, "store the keys of Web Push", func(t *tx) (pushKeys, error) {
		if _, err := t.exec(`UPDATE installation SET push_public = ?, push_private = ? WHERE push_public IS NULL`,
			fresh.public, fresh.private); err != nil {
			return pushKeys{}, err
		}
		return readPushKeys(t.conn)
	})
	return kept.public, kept.private, err
}

func readPushKeys(c *conn) (out pushKeys, err error) {
	_, err = c.queryRow(`SELECT push_public, push_private FROM installation`, func(r row) { out = pushKeys{r.text(0), r.text(1)} })
	return out, err
}

// PutSubscription registers a device; see the contract.
func (s *Store) PutSubscription(ctx context.Context, in store.Subscription) error {
	_, err := change(ctx, s, "store a subscription", func(t *tx) (none struct{}, err error) {
		alive, err := t.conn.queryRow(`SELECT 1 FROM sessions s JOIN users u ON u.id = s.user
			WHERE s.id = ? AND s.user = ? AND s.expires_at > ? AND u.disabled = 0`, func(row) {}, in.Session, in.User, t.now())
		if err != nil {
			return none, err
		}
		if !alive {
			return none, chat.Refuse(chat.CodeUnauthenticated, "", "the session has ended, log in again")
		}
		if _, err := t.exec(`INSERT INTO subscriptions (endpoint, user, session, p256dh, auth, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
			ON CONFLICT (endpoint) DO UPDATE SET user = ?2, session = ?3, p256dh = ?4, auth = ?5, created_at = ?6`,
			in.Endpoint, in.User, in.Session, in.P256DH, in.Auth, t.now()); err != nil {
			return none, err
		}
		// The one just registered stays, also if others have the same time.
		_, err = t.exec(`DELETE FROM subscriptions WHERE endpoint IN (SELECT endpoint FROM subscriptions
			WHERE user = ?1 AND endpoint <> ?2 ORDER BY created_at DESC, rowid DESC LIMIT -1 OFFSET ?3)`,
			in.User, in.Endpoint, store.MaxSubscriptions-1)
		return none, err
	})
	return err
}

// DeleteSubscription deletes a subscription of user.
func (s *Store) DeleteSubscription(ctx context.Context, user chat.UserID, endpoint string) error {
	_, err := change(ctx, s, "delete a subscription", func(t *tx) (none struct{}, err error) {
		_, err = t.exec(`DELETE FROM subscriptions WHERE endpoint = ? AND user = ?`, endpoint, user)
		return none, err
	})
	return err
}

// DropSubscription deletes a subscription that its push service has ended.
func (s *Store) DropSubscription(ctx context.Context, endpoint string) error {
	_, err := change(ctx, s, "drop a subscription", func(t *tx) (none struct{}, err error) {
		_, err = t.exec(`DELETE FROM subscriptions WHERE endpoint = ?`, endpoint)
		return none, err
	})
	return err
}

// Subscriptions returns those of the users; see the contract.
func (s *Store) Subscriptions(ctx context.Context, users []chat.UserID) ([]store.Subscription, error) {
	return read(ctx, s, "list subscriptions", func(c *conn) (out []store.Subscription, err error) {
		now := s.now()
		for _, user := range users {
			if err := c.query(`SELECT p.user, p.session, p.endpoint, p.p256dh, p.auth, p.created_at
				FROM subscriptions p JOIN sessions s ON s.id = p.session JOIN users u ON u.id = p.user
				WHERE p.user = ? AND s.expires_at > ? AND u.disabled = 0`, func(r row) error {
				out = append(out, store.Subscription{
					User: r.user(0), Session: chat.SessionID(r.int(1)), Endpoint: r.text(2), P256DH: r.text(3), Auth: r.text(4), CreatedAt: r.time(5),
				})
				return nil
			}, user, now); err != nil {
				return nil, err
			}
		}
		return out, nil
	})
}

// NotificationStates returns the states of members; see the contract.
func (s *Store) NotificationStates(ctx context.Context, keys []store.MemberKey) (map[store.MemberKey]store.NotificationState, error) {
	return read(ctx, s, "read notification states", func(c *conn) (map[store.MemberKey]store.NotificationState, error) {
		out := make(map[store.MemberKey]store.NotificationState, len(keys))
		for _, k := range keys {
			if _, err := c.queryRow(`SELECT c.kind, c.title, m.read FROM conversations c JOIN members m ON m.user = ? AND m.slot = c.slot
				WHERE c.id = ? AND m.role <> ''`, func(r row) {
				out[k] = store.NotificationState{Kind: chat.Kind(r.text(0)), Title: r.text(1), Read: r.int(2)}
			}, k.User, k.Conversation); err != nil {
				return nil, err
			}
		}
		return out, nil
	})
}
