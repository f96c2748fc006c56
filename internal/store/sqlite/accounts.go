package sqlite

import (
	"context"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/textfold"
)

// userColumns are the columns that scanUser reads; u is the user.
const userColumns = `u.id, u.name, u.display_name, u.admin, u.disabled, u.created_at, u.last_seen`

const userWidth = 7

func scanUser(r row) chat.User {
	return chat.User{
		ID: r.user(0), Name: r.text(1), DisplayName: r.text(2), Admin: r.bool(3), Disabled: r.bool(4),
		CreatedAt: r.time(5), LastSeen: r.time(6),
	}
}

// HasAccounts reports whether there is an account.
func (t *tx) HasAccounts() (bool, error) {
	return t.conn.queryRow(`SELECT 1 FROM users LIMIT 1`, func(row) {})
}

// InsertAccount stores an account.
func (t *tx) InsertAccount(as chat.User, u store.NewUser) (bool, error) {
	return t.insertUser(as, u, nil)
}

// insertUser stores an account, of a batch unless that is nil. It reports whether
// the name was free.
func (t *tx) insertUser(as chat.User, u store.NewUser, batch any) (free bool, err error) {
	taken, err := t.NameTaken(u)
	if err != nil || taken {
		return false, err
	}
	_, err = t.exec(`INSERT INTO users (id, name, skeleton, display_name, name_fold, display_fold, password,
		admin, disabled, created_at, last_seen, batch) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, ?, 0, ?)`,
		as.ID, as.Name, u.Skeleton, as.DisplayName, textfold.Fold(as.Name), textfold.Fold(as.DisplayName), u.Password,
		as.Admin, as.CreatedAt, batch)
	return true, err
}

// NameTaken reports whether a name or its skeleton is in use.
func (t *tx) NameTaken(u store.NewUser) (bool, error) {
	return t.conn.queryRow(`SELECT 1 FROM users WHERE name = ? OR skeleton = ? LIMIT 1`, func(row) {}, u.Name, u.Skeleton)
}

// LockAdministrators reports whether there is an administrator who is not disabled.
func (t *tx) LockAdministrators() (bool, error) {
	return t.conn.queryRow(`SELECT 1 FROM users WHERE admin = 1 AND disabled = 0 LIMIT 1`, func(row) {})
}

// now returns the time of a change, in the precision of the store.
func (t *tx) now() time.Time { return t.store.now().Truncate(time.Millisecond).UTC() }

// Now returns the time of a change, in the precision of the store.
func (t *tx) Now() time.Time { return t.now() }

// NewID returns a new id.
func (t *tx) NewID() (int64, error) { return t.store.newID(), nil }

// HasUsers reports whether there is an account.
func (s *Store) HasUsers(ctx context.Context) (bool, error) {
	return read(ctx, s, "look for an account", func(c *conn) (bool, error) {
		return c.queryRow(`SELECT 1 FROM users LIMIT 1`, func(row) {})
	})
}

// Users returns accounts by id; see the contract.
func (s *Store) Users(ctx context.Context, ids []chat.UserID) ([]chat.User, error) {
	return read(ctx, s, "read accounts", func(c *conn) ([]chat.User, error) {
		out := make([]chat.User, 0, len(ids))
		for _, id := range ids {
			if _, err := c.queryRow(`SELECT `+userColumns+` FROM users u WHERE u.id = ?`,
				func(r row) { out = append(out, scanUser(r)) }, id); err != nil {
				return nil, err
			}
		}
		return out, nil
	})
}

type credentials struct {
	user     chat.User
	password string
}

// Credentials returns an account by name; see the contract.
func (s *Store) Credentials(ctx context.Context, name string) (chat.User, string, error) {
	found, err := read(ctx, s, "read credentials", func(c *conn) (out credentials, err error) {
		found, err := c.queryRow(`SELECT `+userColumns+`, u.password FROM users u WHERE u.name = ?`,
			func(r row) { out = credentials{scanUser(r), r.text(userWidth)} }, name)
		if err == nil && !found {
			err = chat.NotFound("account")
		}
		return out, err
	})
	return found.user, found.password, err
}

// SearchUsers lists accounts; see the contract. It searches with instr, where
// nothing needs to be escaped.
func (s *Store) SearchUsers(ctx context.Context, text, after string, limit int) ([]chat.User, error) {
	return read(ctx, s, "search accounts", func(c *conn) (out []chat.User, err error) {
		err = c.query(`SELECT `+userColumns+` FROM users u WHERE u.name > ?1 AND u.disabled = 0
			AND (?2 = '' OR instr(u.name_fold, ?2) > 0 OR instr(u.display_fold, ?2) > 0)
			ORDER BY u.name LIMIT +?3`, func(r row) error {
			out = append(out, scanUser(r))
			return nil
		}, after, textfold.Query(text), max(limit, 0))
		return out, err
	})
}

// AllUsers lists every account; see the contract.
func (s *Store) AllUsers(ctx context.Context, text, after string, limit int) ([]chat.User, error) {
	return read(ctx, s, "list accounts", func(c *conn) (out []chat.User, err error) {
		err = c.query(`SELECT `+userColumns+` FROM users u WHERE u.name > ?1
			AND (?2 = '' OR instr(u.name_fold, ?2) > 0 OR instr(u.display_fold, ?2) > 0)
			ORDER BY u.name LIMIT +?3`, func(r row) error {
			out = append(out, scanUser(r))
			return nil
		}, after, textfold.Query(text), max(limit, 0))
		return out, err
	})
}

// UpdateAccount changes an account.
func (t *tx) UpdateAccount(id chat.UserID, ch store.UserChange) (out chat.User, err error) {
	found, err := t.conn.queryRow(`SELECT `+userColumns+` FROM users u WHERE u.id = ?`,
		func(r row) { out = scanUser(r) }, id)
	if err != nil {
		return out, err
	}
	if !found {
		return out, chat.NotFound("account")
	}
	if ch.DisplayName != nil {
		out.DisplayName = *ch.DisplayName
	}
	if ch.Admin != nil {
		out.Admin = *ch.Admin
	}
	if ch.Disabled != nil {
		out.Disabled = *ch.Disabled
	}
	if _, err := t.exec(`UPDATE users SET display_name = ?, display_fold = ?, admin = ?, disabled = ? WHERE id = ?`,
		out.DisplayName, textfold.Fold(out.DisplayName), out.Admin, out.Disabled, id); err != nil {
		return out, err
	}
	if ch.Password != nil {
		if _, err := t.exec(`UPDATE users SET password = ? WHERE id = ?`, *ch.Password, id); err != nil {
			return out, err
		}
	}
	if ch.Disabled != nil && *ch.Disabled {
		_, err = t.exec(`DELETE FROM sessions WHERE user = ?`, id)
	}
	return out, err
}

// SetLastSeen records when a user's last device disconnected; see the contract.
func (s *Store) SetLastSeen(ctx context.Context, id chat.UserID, at time.Time) error {
	_, err := change(ctx, s, "record when a user was last seen", func(t *tx) (struct{}, error) {
		found, err := t.execAffected(`UPDATE users SET last_seen = max(last_seen, ?) WHERE id = ?`, at, id)
		if err == nil && !found {
			err = chat.NotFound("account")
		}
		return struct{}{}, err
	})
	return err
}

// accountEnabled reports whether an account exists and is not disabled.
func (w *writer) accountEnabled(id chat.UserID) (bool, error) {
	return w.conn.queryRow(`SELECT 1 FROM users WHERE id = ? AND disabled = 0`, func(row) {}, id)
}

// AccountsEnabled reports whether all the accounts exist and are not disabled.
func (t *tx) AccountsEnabled(ids []chat.UserID) (bool, error) {
	for _, id := range ids {
		if ok, err := t.accountEnabled(id); err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}
