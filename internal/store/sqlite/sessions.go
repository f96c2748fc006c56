package sqlite

import (
	"context"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// sessionColumns are the columns that scanSession reads; s is the session.
const sessionColumns = `s.id, s.user, s.token, s.device, s.created_at, s.seen_at, s.expires_at`

const sessionWidth = 7

func scanSession(r row) store.Session {
	return store.Session{
		ID: chat.SessionID(r.int(0)), User: r.user(1), Token: r.blob(2), Device: r.text(3),
		CreatedAt: r.time(4), SeenAt: r.time(5), ExpiresAt: r.time(6),
	}
}

// CreateSession logs a device in. It also deletes expired sessions of the same
// account.
func (s *Store) CreateSession(ctx context.Context, in store.Session) (chat.SessionID, error) {
	return change(ctx, s, "create a session", func(t *tx) (chat.SessionID, error) {
		if ok, err := t.accountEnabled(in.User); err != nil {
			return 0, err
		} else if !ok {
			return 0, chat.NotFound("account")
		}
		if _, err := t.exec(`DELETE FROM sessions WHERE user = ? AND expires_at <= ?`, in.User, t.now()); err != nil {
			return 0, err
		}
		in.ID = chat.SessionID(t.store.newID())
		return in.ID, t.insertSession(&in)
	})
}

// insertSession stores a session.
func (t *tx) insertSession(in *store.Session) error {
	_, err := t.exec(`INSERT INTO sessions (id, user, token, device, created_at, seen_at, expires_at)
		VALUES (?, ?, ?, ?, ?, ?, ?)`,
		in.ID, in.User, in.Token, in.Device, in.CreatedAt, in.SeenAt, in.ExpiresAt)
	return err
}

type login struct {
	session store.Session
	user    chat.User
}

// SessionByToken finds a session; see the contract.
func (s *Store) SessionByToken(ctx context.Context, token []byte, now time.Time) (store.Session, chat.User, error) {
	found, err := read(ctx, s, "read a session", func(c *conn) (out login, err error) {
		found, err := c.queryRow(`SELECT `+sessionColumns+`, `+userColumns+` FROM sessions s JOIN users u ON u.id = s.user
			WHERE s.token = ? AND s.expires_at > ? AND u.disabled = 0`,
			func(r row) { out = login{scanSession(r), scanUser(r[sessionWidth:])} }, token, now)
		if err == nil && !found {
			err = chat.Refuse(chat.CodeUnauthenticated, "", "the session has ended, log in again")
		}
		return out, err
	})
	return found.session, found.user, err
}

// SessionsOf lists a user's sessions that have not expired, newest first.
func (s *Store) SessionsOf(ctx context.Context, user chat.UserID) ([]store.Session, error) {
	return read(ctx, s, "list sessions", func(c *conn) (out []store.Session, err error) {
		err = c.query(`SELECT `+sessionColumns+` FROM sessions s WHERE s.user = ? AND s.expires_at > ? ORDER BY s.id DESC`,
			func(r row) error {
				out = append(out, scanSession(r))
				return nil
			}, user, s.now())
		return out, err
	})
}

// EndedSessions returns those that have ended; see the contract.
func (s *Store) EndedSessions(ctx context.Context, ids []chat.SessionID) ([]chat.SessionID, error) {
	return read(ctx, s, "look for ended sessions", func(c *conn) (ended []chat.SessionID, err error) {
		now := s.now()
		for _, id := range ids {
			active, err := c.queryRow(`SELECT 1 FROM sessions WHERE id = ? AND expires_at > ?`, func(row) {}, id, now)
			if err != nil {
				return nil, err
			}
			if !active {
				ended = append(ended, id)
			}
		}
		return ended, nil
	})
}

// TouchSession records a use; the latest use wins, in whatever order the calls
// come.
func (s *Store) TouchSession(ctx context.Context, id chat.SessionID, seen, expires time.Time) error {
	_, err := change(ctx, s, "touch a session", func(t *tx) (struct{}, error) {
		_, err := t.exec(`UPDATE sessions SET seen_at = ?1, expires_at = ?2 WHERE id = ?3 AND seen_at <= ?1`,
			seen, expires, id)
		return struct{}{}, err
	})
	return err
}

// DeleteSessions ends sessions; see the contract.
func (s *Store) DeleteSessions(ctx context.Context, user chat.UserID, ids []chat.SessionID, keep chat.SessionID) ([]chat.SessionID, error) {
	return change(ctx, s, "end sessions", func(t *tx) (ended []chat.SessionID, err error) {
		if ids == nil {
			err = t.conn.query(`SELECT id FROM sessions WHERE user = ? AND id <> ? ORDER BY id`, func(r row) error {
				ended = append(ended, chat.SessionID(r.int(0)))
				return nil
			}, user, keep)
			if err != nil {
				return nil, err
			}
			_, err = t.exec(`DELETE FROM sessions WHERE user = ? AND id <> ?`, user, keep)
			return ended, err
		}
		for _, id := range ids {
			n, err := t.exec(`DELETE FROM sessions WHERE user = ? AND id = ?`, user, id)
			if err != nil {
				return nil, err
			}
			if n > 0 {
				ended = append(ended, id)
			}
		}
		return ended, nil
	})
}
