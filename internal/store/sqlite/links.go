package sqlite

import (
	"context"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// CreateLink keeps a link that its maker may make.
func (s *Store) CreateLink(ctx context.Context, l store.Link) (store.Link, error) {
	return change(ctx, s, "create a link", func(t *tx) (none store.Link, err error) {
		c, role, err := t.as(l.Conversation, l.CreatedBy)
		if err != nil {
			return none, err
		}
		if err := chat.CheckLinks(c.Kind, role); err != nil {
			return none, err
		}
		out := store.Link{Invitation: kept(l.Invitation, s.newID()), Conversation: l.Conversation}
		_, err = t.exec(`INSERT INTO links (id, slot, token, created_by, created_at, expires_at, max_uses, uses)
			VALUES (?, ?, ?, ?, ?, ?, ?, 0)`,
			out.ID, c.slot, out.Token, out.CreatedBy, out.CreatedAt, out.ExpiresAt, out.MaxUses)
		return out, err
	})
}

// LinksOf lists the links that can still be used, newest first.
func (s *Store) LinksOf(ctx context.Context, id chat.ConversationID, by chat.UserID, now time.Time) ([]store.Link, error) {
	return read(ctx, s, "list links", func(c *conn) (out []store.Link, err error) {
		v, err := visit(c, id, by)
		if err != nil {
			return nil, err
		}
		if err := chat.CheckLinks(v.Kind, v.role); err != nil {
			return nil, err
		}
		err = c.query(`SELECT `+invitationColumns+` FROM links i WHERE i.slot = ? AND i.expires_at > ? ORDER BY i.id DESC`,
			func(r row) error {
				if i := scanInvitation(r); i.Usable(now) {
					out = append(out, store.Link{Invitation: i, Conversation: id})
				}
				return nil
			}, v.slot, now)
		return out, err
	})
}

// DeleteLink ends a link.
func (s *Store) DeleteLink(ctx context.Context, id chat.ConversationID, by chat.UserID, link int64) error {
	_, err := change(ctx, s, "end a link", func(t *tx) (none struct{}, err error) {
		c, role, err := t.as(id, by)
		if err != nil {
			return none, err
		}
		if err := chat.CheckLinks(c.Kind, role); err != nil {
			return none, err
		}
		n, err := t.exec(`DELETE FROM links WHERE id = ? AND slot = ?`, link, c.slot)
		if err == nil && n == 0 {
			t.wrote = false
			err = chat.NotFound("link")
		}
		return none, err
	})
	return err
}

// link finds a link by its token's hash; found is false when there is none.
func link(c *conn, token []byte) (out store.Link, found bool, err error) {
	found, err = c.one(`SELECT `+invitationColumns+`, c.id FROM links i JOIN conversations c ON c.slot = i.slot
		WHERE i.token = ?`, func(r row) {
		out = store.Link{Invitation: scanInvitation(r), Conversation: chat.ConversationID(r.int(invitationWidth))}
	}, token)
	return out, found, err
}

// LinkByToken is where a usable link leads.
func (s *Store) LinkByToken(ctx context.Context, token []byte, now time.Time) (chat.Conversation, error) {
	return read(ctx, s, "read a link", func(c *conn) (none chat.Conversation, err error) {
		l, found, err := link(c, token)
		if err != nil {
			return none, err
		}
		if !found || !l.Usable(now) {
			return none, chat.NotFound("link")
		}
		out, _, err := conversationByID(c, l.Conversation)
		return out, err
	})
}

// JoinByLink puts by in and counts the use. A member is not asked whether the
// link is still good: the answer to a repeated call must not depend on
// whether the first one took the last use.
func (s *Store) JoinByLink(ctx context.Context, token []byte, by chat.UserID, now time.Time) (store.Change, error) {
	return change(ctx, s, "join by a link", func(t *tx) (none store.Change, err error) {
		l, found, err := link(t.conn, token)
		if err != nil {
			return none, err
		}
		if !found {
			return none, chat.NotFound("link")
		}
		c, err := t.conversation(l.Conversation)
		if err != nil {
			return none, err
		}
		role, err := t.role(c, by)
		switch {
		case err != nil:
			return none, err
		case role.MayPost():
			return unchanged(c), nil
		case !l.Usable(now):
			return none, chat.NotFound("link")
		}
		out, err := t.admit(c, []chat.UserID{by})
		if err != nil {
			return none, err
		}
		_, err = t.exec(`UPDATE links SET uses = uses + 1 WHERE id = ?`, l.ID)
		return out, err
	})
}
