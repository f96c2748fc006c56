package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

type pushKeys struct{ public, private string }

// PushKeys returns the installation's key pair; see the contract.
func (s *Store) PushKeys(ctx context.Context, generate func() (public, private string, err error)) (string, string, error) {
	kept, err := read(ctx, s, "read the keys of Web Push", func(ctx context.Context, q querier) (out pushKeys, err error) {
		_, err = queryRow(ctx, q, []any{&out.public, &out.private}, `SELECT coalesce(push_public, ''), coalesce(push_private, '') FROM installation`)
		return out, err
	})
	if err != nil || kept.public != "" {
		return kept.public, kept.private, err
	}
	var fresh pushKeys
	if fresh.public, fresh.private, err = generate(); err != nil {
		return "", "", err
	}
	kept, err = change(ctx, s, "store the keys of Web Push", func(t *tx) (out pushKeys, err error) {
		// A concurrent call waits for the row, and reads the keys of the first.
		_, err = t.queryRow([]any{&out.public, &out.private}, `UPDATE installation
			SET push_public = coalesce(push_public, $1), push_private = coalesce(push_private, $2) RETURNING push_public, push_private`,
			fresh.public, fresh.private)
		return out, err
	})
	return kept.public, kept.private, err
}

// PutSubscription registers a device; see the contract.
func (s *Store) PutSubscription(ctx context.Context, in store.Subscription) error {
	_, err := change(ctx, s, "store a subscription", func(t *tx) (none struct{}, err error) {
		// The account is locked so that two concurrent calls count each other.
		var found bool
		alive, err := t.queryRow([]any{&found}, `SELECT true FROM users WHERE id = $1 AND NOT disabled FOR NO KEY UPDATE`, in.User)
		if err == nil && alive {
			alive, err = t.queryRow([]any{&found}, `SELECT true FROM sessions WHERE id = $1 AND account = $2 AND expires_at > $3 FOR KEY SHARE`,
				in.Session, in.User, t.now())
		}
		if err != nil {
			return none, err
		}
		if !alive {
			return none, chat.Refuse(chat.CodeUnauthenticated, "", "the session has ended, log in again")
		}
		if _, err := t.exec(`INSERT INTO subscriptions (endpoint, account, session, p256dh, auth, created_at) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (endpoint) DO UPDATE SET account = excluded.account, session = excluded.session,
				p256dh = excluded.p256dh, auth = excluded.auth, created_at = excluded.created_at`,
			in.Endpoint, in.User, in.Session, in.P256DH, in.Auth, t.now()); err != nil {
			return none, err
		}
		// The one just registered stays, also if others have the same time.
		_, err = t.exec(`DELETE FROM subscriptions WHERE endpoint IN (SELECT endpoint FROM subscriptions
			WHERE account = $1 AND endpoint <> $2 ORDER BY created_at DESC, session DESC OFFSET $3)`,
			in.User, in.Endpoint, store.MaxSubscriptions-1)
		return none, err
	})
	return err
}

// DeleteSubscription deletes a subscription of user.
func (s *Store) DeleteSubscription(ctx context.Context, user chat.UserID, endpoint string) error {
	_, err := change(ctx, s, "delete a subscription", func(t *tx) (none struct{}, err error) {
		_, err = t.exec(`DELETE FROM subscriptions WHERE endpoint = $1 AND account = $2`, endpoint, user)
		return none, err
	})
	return err
}

// DropSubscription deletes a subscription that its push service has ended.
func (s *Store) DropSubscription(ctx context.Context, endpoint string) error {
	_, err := change(ctx, s, "drop a subscription", func(t *tx) (none struct{}, err error) {
		_, err = t.exec(`DELETE FROM subscriptions WHERE endpoint = $1`, endpoint)
		return none, err
	})
	return err
}

// Subscriptions returns those of the users; see the contract.
func (s *Store) Subscriptions(ctx context.Context, users []chat.UserID) ([]store.Subscription, error) {
	return read(ctx, s, "list subscriptions", func(ctx context.Context, q querier) ([]store.Subscription, error) {
		rows, err := q.Query(ctx, `SELECT p.account, p.session, p.endpoint, p.p256dh, p.auth, p.created_at
			FROM subscriptions p JOIN sessions s ON s.id = p.session JOIN users u ON u.id = p.account
			WHERE p.account = ANY($1) AND s.expires_at > $2 AND NOT u.disabled`, int64s(users), s.now())
		if err != nil {
			return nil, err
		}
		return pgx.CollectRows(rows, func(row pgx.CollectableRow) (out store.Subscription, err error) {
			err = row.Scan(&out.User, &out.Session, &out.Endpoint, &out.P256DH, &out.Auth, &out.CreatedAt)
			out.CreatedAt = out.CreatedAt.UTC()
			return out, err
		})
	})
}

// NotificationStates returns the states of members; see the contract.
func (s *Store) NotificationStates(ctx context.Context, keys []store.MemberKey) (map[store.MemberKey]store.NotificationState, error) {
	conversations, users := make([]int64, len(keys)), make([]int64, len(keys))
	for i, k := range keys {
		conversations[i], users[i] = int64(k.Conversation), int64(k.User)
	}
	return read(ctx, s, "read notification states", func(ctx context.Context, q querier) (map[store.MemberKey]store.NotificationState, error) {
		rows, err := q.Query(ctx, `SELECT m.conversation, m.account, c.kind, c.title, m.read
			FROM unnest($1::bigint[], $2::bigint[]) AS k (conversation, account)
			JOIN members m ON m.account = k.account AND m.conversation = k.conversation AND m.role <> ''
			JOIN conversations c ON c.id = m.conversation`, conversations, users)
		if err != nil {
			return nil, err
		}
		out := make(map[store.MemberKey]store.NotificationState, len(keys))
		var k store.MemberKey
		var state store.NotificationState
		_, err = pgx.ForEachRow(rows, []any{&k.Conversation, &k.User, &state.Kind, &state.Title, &state.Read}, func() error {
			out[k] = state
			return nil
		})
		return out, err
	})
}
