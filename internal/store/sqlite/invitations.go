package sqlite

import (
	"context"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// invitationColumns are those that scanInvitation reads, of an invitation or a
// link i.
const invitationColumns = `i.id, i.token, i.created_by, i.created_at, i.expires_at, i.max_uses, i.uses`

const invitationWidth = 7

func scanInvitation(r row) store.Invitation {
	return store.Invitation{
		ID: r.int(0), Token: r.blob(1), CreatedBy: r.user(2), CreatedAt: r.time(3), ExpiresAt: r.time(4),
		MaxUses: int(r.int(5)), Uses: int(r.int(6)),
	}
}

// CreateInvitation keeps an invitation.
func (s *Store) CreateInvitation(ctx context.Context, i store.Invitation) (store.Invitation, error) {
	return change(ctx, s, "create an invitation", func(t *tx) (store.Invitation, error) {
		out := i.Issued(s.newID())
		_, err := t.exec(`INSERT INTO invitations (id, token, created_by, created_at, expires_at, max_uses, uses)
			VALUES (?, ?, ?, ?, ?, ?, 0)`,
			out.ID, out.Token, out.CreatedBy, out.CreatedAt, out.ExpiresAt, out.MaxUses)
		return out, err
	})
}

// invitation finds an invitation by its token's hash; nil when there is none.
func (w *writer) invitation(token []byte) (*store.Invitation, error) {
	var out store.Invitation
	found, err := w.conn.one(`SELECT `+invitationColumns+` FROM invitations i WHERE i.token = ?`,
		func(r row) { out = scanInvitation(r) }, token)
	if err != nil || !found {
		return nil, err
	}
	return &out, nil
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

// DeleteInvitation ends an invitation.
func (s *Store) DeleteInvitation(ctx context.Context, id int64) error {
	_, err := change(ctx, s, "end an invitation", func(t *tx) (struct{}, error) {
		found, err := t.touch(`DELETE FROM invitations WHERE id = ?`, id)
		if err == nil && !found {
			err = chat.NotFound("invitation")
		}
		return struct{}{}, err
	})
	return err
}
