package sqlite

import (
	"context"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// InsertLink stores a link.
func (t *tx) InsertLink(l store.Link) error {
	c, err := t.requireConversation(l.Conversation)
	if err != nil {
		return err
	}
	_, err = t.exec(`INSERT INTO links (id, slot, token, created_by, created_at, expires_at, max_uses, uses)
		VALUES (?, ?, ?, ?, ?, ?, ?, 0)`,
		l.ID, c.slot, l.Token, l.CreatedBy, l.CreatedAt, l.ExpiresAt, l.MaxUses)
	return err
}

// DeleteConversationLink deletes a link of a conversation.
func (t *tx) DeleteConversationLink(id chat.ConversationID, link int64) (bool, error) {
	c, err := t.requireConversation(id)
	if err != nil {
		return false, err
	}
	return t.execAffected(`DELETE FROM links WHERE id = ? AND slot = ?`, link, c.slot)
}

// FindLink finds a link by its token's hash.
func (t *tx) FindLink(token []byte) (store.Link, bool, error) { return findLink(t.conn, token) }

// LockLink does the same: there is only one writer.
func (t *tx) LockLink(token []byte) (store.Link, bool, error) { return findLink(t.conn, token) }

// UseLink counts a use of a link.
func (t *tx) UseLink(id int64) error {
	_, err := t.exec(`UPDATE links SET uses = uses + 1 WHERE id = ?`, id)
	return err
}

// LinksOf lists the links that can still be used, newest first.
func (s *Store) LinksOf(ctx context.Context, id chat.ConversationID, by chat.UserID, now time.Time) ([]store.Link, error) {
	return read(ctx, s, "list links", func(c *conn) (out []store.Link, err error) {
		v, err := conversationForReader(c, id, by)
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

// findLink finds a link by its token's hash; found is false when there is none.
func findLink(c *conn, token []byte) (out store.Link, found bool, err error) {
	found, err = c.queryRow(`SELECT `+invitationColumns+`, c.id FROM links i JOIN conversations c ON c.slot = i.slot
		WHERE i.token = ?`, func(r row) {
		out = store.Link{Invitation: scanInvitation(r), Conversation: chat.ConversationID(r.int(invitationWidth))}
	}, token)
	return out, found, err
}

// LinkByToken returns the conversation of a usable link.
func (s *Store) LinkByToken(ctx context.Context, token []byte, now time.Time) (chat.Conversation, error) {
	return read(ctx, s, "read a link", func(c *conn) (none chat.Conversation, err error) {
		l, found, err := findLink(c, token)
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
