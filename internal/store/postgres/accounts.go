package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/textfold"
)

// userColumns are the columns that userRow reads; u is the user.
const userColumns = `u.id, u.name, u.display_name, u.admin, u.disabled, u.created_at, u.last_seen`

// userRow reads a user.
type userRow struct {
	chat.User
	created  time.Time
	lastSeen *time.Time
}

func (r *userRow) fields() []any {
	return []any{&r.ID, &r.Name, &r.DisplayName, &r.Admin, &r.Disabled, &r.created, &r.lastSeen}
}

func (r *userRow) user() chat.User {
	r.CreatedAt, r.LastSeen = r.created.UTC(), timeFromNull(r.lastSeen)
	return r.User
}

func collectUsers(rows pgx.Rows, err error) ([]chat.User, error) {
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (chat.User, error) {
		var r userRow
		err := row.Scan(r.fields()...)
		return r.user(), err
	})
}

// Keys of advisory locks: for the creation of the first account, so that of two only
// one becomes admin, and for taking that from somebody, so that one stays.
const (
	firstAccountLock   = 0x68696b79616b7501
	administratorsLock = 0x68696b79616b7502
)

// HasAccounts reports whether there is an account. When there is none, it waits
// for other transactions that create the first, and checks again.
func (t *tx) HasAccounts() (exists bool, err error) {
	const query = `SELECT EXISTS (SELECT FROM users)`
	if _, err := t.queryRow([]any{&exists}, query); err != nil || exists {
		return exists, err
	}
	if _, err := t.exec(`SELECT pg_advisory_xact_lock($1)`, int64(firstAccountLock)); err != nil {
		return false, err
	}
	_, err = t.queryRow([]any{&exists}, query)
	return exists, err
}

// InsertAccount stores an account.
func (t *tx) InsertAccount(as chat.User, u store.NewUser) (bool, error) {
	n, err := t.exec(`INSERT INTO users (id, name, skeleton, display_name, name_fold, display_fold, password, admin, created_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING`,
		as.ID, as.Name, u.Skeleton, as.DisplayName, textfold.Fold(as.Name), textfold.Fold(as.DisplayName), u.Password,
		as.Admin, as.CreatedAt)
	return n > 0, err
}

// NameTaken reports whether a name or its skeleton is in use.
func (t *tx) NameTaken(u store.NewUser) (taken bool, err error) {
	_, err = t.queryRow([]any{&taken}, `SELECT EXISTS (SELECT FROM users WHERE name = $1 OR skeleton = $2)`, u.Name, u.Skeleton)
	return taken, err
}

// LockAdministrators reports whether there is an administrator who is not disabled,
// and has others who ask wait.
func (t *tx) LockAdministrators() (exist bool, err error) {
	if _, err := t.exec(`SELECT pg_advisory_xact_lock($1)`, int64(administratorsLock)); err != nil {
		return false, err
	}
	_, err = t.queryRow([]any{&exist}, `SELECT EXISTS (SELECT FROM users WHERE admin AND NOT disabled)`)
	return exist, err
}

// HasUsers reports whether there is an account.
func (s *Store) HasUsers(ctx context.Context) (bool, error) {
	return read(ctx, s, "look for an account", func(ctx context.Context, q querier) (exists bool, err error) {
		_, err = queryRow(ctx, q, []any{&exists}, `SELECT EXISTS (SELECT FROM users)`)
		return exists, err
	})
}

// Users returns accounts by id; see the contract.
func (s *Store) Users(ctx context.Context, ids []chat.UserID) ([]chat.User, error) {
	return read(ctx, s, "read accounts", func(ctx context.Context, q querier) ([]chat.User, error) {
		return collectUsers(q.Query(ctx, `SELECT `+userColumns+` FROM unnest($1::bigint[]) WITH ORDINALITY AS k (id, n)
			JOIN users u ON u.id = k.id ORDER BY k.n`, int64s(ids)))
	})
}

// Credentials returns an account by name; see the contract.
func (s *Store) Credentials(ctx context.Context, name string) (chat.User, string, error) {
	var password string
	u, err := read(ctx, s, "read credentials", func(ctx context.Context, q querier) (chat.User, error) {
		var r userRow
		found, err := queryRow(ctx, q, append(r.fields(), &password), `SELECT `+userColumns+`, u.password FROM users u WHERE u.name = $1`, name)
		return r.user(), notFound(found, err, "account")
	})
	if err != nil {
		return chat.User{}, "", err
	}
	return u, password, nil
}

// SearchUsers lists accounts; see the contract.
func (s *Store) SearchUsers(ctx context.Context, text, after string, limit int) ([]chat.User, error) {
	return readPreferReplica(ctx, s, "search accounts", func(ctx context.Context, q querier) ([]chat.User, error) {
		return collectUsers(q.Query(ctx, `SELECT `+userColumns+` FROM users u WHERE u.name > $1 AND NOT u.disabled
			AND ($2 = '' OR position($2 IN u.name_fold) > 0 OR position($2 IN u.display_fold) > 0)
			ORDER BY u.name LIMIT $3`, after, textfold.Query(text), max(limit, 0)))
	})
}

// AllUsers lists every account; see the contract.
func (s *Store) AllUsers(ctx context.Context, text, after string, limit int) ([]chat.User, error) {
	return read(ctx, s, "list accounts", func(ctx context.Context, q querier) ([]chat.User, error) {
		return collectUsers(q.Query(ctx, `SELECT `+userColumns+` FROM users u WHERE u.name > $1
			AND ($2 = '' OR position($2 IN u.name_fold) > 0 OR position($2 IN u.display_fold) > 0)
			ORDER BY u.name LIMIT $3`, after, textfold.Query(text), max(limit, 0)))
	})
}

// UpdateAccount changes an account.
func (t *tx) UpdateAccount(id chat.UserID, ch store.UserChange) (chat.User, error) {
	var fold *string
	if ch.DisplayName != nil {
		f := textfold.Fold(*ch.DisplayName)
		fold = &f
	}
	var r userRow
	found, err := t.queryRow(r.fields(), `UPDATE users u SET display_name = coalesce($2, display_name), display_fold = coalesce($3, display_fold),
		admin = coalesce($4, admin), disabled = coalesce($5, disabled), password = coalesce($6, password)
		WHERE id = $1 RETURNING `+userColumns, id, ch.DisplayName, fold, ch.Admin, ch.Disabled, ch.Password)
	if err := notFound(found, err, "account"); err != nil {
		return chat.User{}, err
	}
	if ch.Disabled != nil && *ch.Disabled {
		_, err = t.exec(`DELETE FROM sessions WHERE account = $1`, id)
	}
	return r.user(), err
}

// SetLastSeen records when a user's last device disconnected; see the contract.
func (s *Store) SetLastSeen(ctx context.Context, id chat.UserID, at time.Time) error {
	_, err := change(ctx, s, "record when a user was last seen", func(t *tx) (struct{}, error) {
		n, err := t.exec(`UPDATE users SET last_seen = greatest(last_seen, $2) WHERE id = $1`, id, truncateTime(at))
		return struct{}{}, notFound(n > 0, err, "account")
	})
	return err
}

// AccountsEnabled reports whether all the accounts exist and are not disabled. None
// is deleted until the transaction ends; FOR KEY SHARE does not prevent that one is
// disabled.
func (t *tx) AccountsEnabled(ids []chat.UserID) (bool, error) {
	var n int
	_, err := t.queryRow([]any{&n}, `SELECT count(*) FROM (SELECT FROM users WHERE id = ANY($1) AND NOT disabled FOR KEY SHARE) x`, int64s(ids))
	return n == len(ids), err
}
