package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// sessionColumns are the columns of sessionFields; s is the session.
const sessionColumns = `s.id, s.account, s.token, s.device, s.created_at, s.seen_at, s.expires_at`

func sessionFields(s *store.Session) []any {
	return []any{&s.ID, &s.User, &s.Token, &s.Device, &s.CreatedAt, &s.SeenAt, &s.ExpiresAt}
}

func inUTC(s store.Session) store.Session {
	s.CreatedAt, s.SeenAt, s.ExpiresAt = s.CreatedAt.UTC(), s.SeenAt.UTC(), s.ExpiresAt.UTC()
	return s
}

// CreateSession logs a device in. It also deletes expired sessions of the same
// account.
func (s *Store) CreateSession(ctx context.Context, in store.Session) (chat.SessionID, error) {
	return change(ctx, s, "create a session", func(t *tx) (chat.SessionID, error) {
		if ok, err := t.AccountsEnabled([]chat.UserID{in.User}); err != nil || !ok {
			return 0, notFound(ok, err, "account")
		}
		if _, err := t.exec(`DELETE FROM sessions WHERE account = $1 AND expires_at <= $2`, in.User, t.now()); err != nil {
			return 0, err
		}
		id, err := t.newID()
		if err != nil {
			return 0, err
		}
		_, err = t.exec(`INSERT INTO sessions (id, account, token, device, created_at, seen_at, expires_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7)`, id, in.User, in.Token, in.Device, truncateTime(in.CreatedAt), truncateTime(in.SeenAt), truncateTime(in.ExpiresAt))
		return chat.SessionID(id), err
	})
}

// SessionByToken finds a session; see the contract.
func (s *Store) SessionByToken(ctx context.Context, token []byte, now time.Time) (store.Session, chat.User, error) {
	var user chat.User
	found, err := read(ctx, s, "read a session", func(ctx context.Context, q querier) (out store.Session, err error) {
		var u userRow
		found, err := queryRow(ctx, q, append(sessionFields(&out), u.fields()...), `SELECT `+sessionColumns+`, `+userColumns+`
			FROM sessions s JOIN users u ON u.id = s.account WHERE s.token = $1 AND s.expires_at > $2 AND NOT u.disabled`, token, now)
		if err == nil && !found {
			err = chat.Refuse(chat.CodeUnauthenticated, "", "the session has ended, log in again")
		}
		user = u.user()
		return inUTC(out), err
	})
	if err != nil {
		return store.Session{}, chat.User{}, err
	}
	return found, user, nil
}

// SessionsOf lists a user's sessions that have not expired, newest first.
func (s *Store) SessionsOf(ctx context.Context, user chat.UserID) ([]store.Session, error) {
	return read(ctx, s, "list sessions", func(ctx context.Context, q querier) ([]store.Session, error) {
		rows, err := q.Query(ctx, `SELECT `+sessionColumns+` FROM sessions s WHERE s.account = $1 AND s.expires_at > $2 ORDER BY s.id DESC`, user, s.now())
		if err != nil {
			return nil, err
		}
		return pgx.CollectRows(rows, func(row pgx.CollectableRow) (out store.Session, err error) {
			err = row.Scan(sessionFields(&out)...)
			return inUTC(out), err
		})
	})
}

// EndedSessions returns those that have ended; see the contract.
func (s *Store) EndedSessions(ctx context.Context, ids []chat.SessionID) ([]chat.SessionID, error) {
	return read(ctx, s, "look for ended sessions", func(ctx context.Context, q querier) ([]chat.SessionID, error) {
		rows, err := q.Query(ctx, `SELECT i.id FROM unnest($1::bigint[]) AS i (id)
			WHERE NOT EXISTS (SELECT FROM sessions s WHERE s.id = i.id AND s.expires_at > $2)`, int64s(ids), s.now())
		if err != nil {
			return nil, err
		}
		return pgx.CollectRows(rows, pgx.RowTo[chat.SessionID])
	})
}

// TouchSession records a use; the latest use wins, in whatever order the calls
// come.
func (s *Store) TouchSession(ctx context.Context, id chat.SessionID, seen, expires time.Time) error {
	_, err := change(ctx, s, "touch a session", func(t *tx) (struct{}, error) {
		_, err := t.exec(`UPDATE sessions SET seen_at = $2, expires_at = $3 WHERE id = $1 AND seen_at <= $2`, id, truncateTime(seen), truncateTime(expires))
		return struct{}{}, err
	})
	return err
}

// DeleteSessions ends sessions; see the contract.
func (s *Store) DeleteSessions(ctx context.Context, user chat.UserID, ids []chat.SessionID, keep chat.SessionID) ([]chat.SessionID, error) {
	return change(ctx, s, "end sessions", func(t *tx) ([]chat.SessionID, error) {
		var rows pgx.Rows
		var err error
		if ids == nil {
			rows, err = t.Query(t.ctx, `DELETE FROM sessions WHERE account = $1 AND id <> $2 RETURNING id`, user, keep)
		} else {
			rows, err = t.Query(t.ctx, `DELETE FROM sessions WHERE account = $1 AND id = ANY($2) RETURNING id`, user, int64s(ids))
		}
		if err != nil {
			return nil, err
		}
		return pgx.CollectRows(rows, pgx.RowTo[chat.SessionID])
	})
}
