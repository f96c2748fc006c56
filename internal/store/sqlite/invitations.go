package sqlite

import (
	"context"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// invitationColumns are the columns that scanInvitation reads; i is the
// invitation or link.
const invitationColumns = `i.id, i.token, i.created_by, i.created_at, i.expires_at, i.max_uses, i.uses`

const invitationWidth = 7

func scanInvitation(r row) store.Invitation {
	return store.Invitation{
		ID: r.int(0), Token: r.blob(1), CreatedBy: r.user(2), CreatedAt: r.time(3), ExpiresAt: r.time(4),
		MaxUses: int(r.int(5)), Uses: int(r.int(6)),
	}
}

// InsertInvitation stores an invitation.
func (t *tx) InsertInvitation(i store.Invitation) error {
	_, err := t.exec(`INSERT INTO invitations (id, token, created_by, created_at, expires_at, max_uses, uses)
		VALUES (?, ?, ?, ?, ?, ?, 0)`,
		i.ID, i.Token, i.CreatedBy, i.CreatedAt, i.ExpiresAt, i.MaxUses)
	return err
}

// LockInvitation finds an invitation by its token's hash.
func (t *tx) LockInvitation(token []byte) (i store.Invitation, found bool, err error) {
	found, err = t.conn.queryRow(`SELECT `+invitationColumns+` FROM invitations i WHERE i.token = ?`,
		func(r row) { i = scanInvitation(r) }, token)
	return i, found, err
}

// UseInvitation counts a use of an invitation.
func (t *tx) UseInvitation(id int64) error {
	_, err := t.exec(`UPDATE invitations SET uses = uses + 1 WHERE id = ?`, id)
	return err
}

// DeleteInvitationByID deletes an invitation.
func (t *tx) DeleteInvitationByID(id int64) (bool, error) {
	return t.execAffected(`DELETE FROM invitations WHERE id = ?`, id)
}

// Invitations lists those that can still be used, newest first.
func (s *Store) Invitations(ctx context.Context, now time.Time) ([]store.Invitation, error) {
	return read(ctx, s, "list invitations", func(c *conn) (out []store.Invitation, err error) {
		err = c.query(`SELECT `+invitationColumns+` FROM invitations i WHERE i.expires_at > ? ORDER BY i.id DESC`,
			func(r row) error {
				if i := scanInvitation(r); i.Usable(now) {
					out = append(out, i)
				}
				return nil
			}, now)
		return out, err
	})
}
