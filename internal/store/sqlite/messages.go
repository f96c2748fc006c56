package sqlite

import (
	"context"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

// UpdateMessage has f change a message, and keeps it.
func (t *tx) UpdateMessage(id chat.ConversationID, seq int64, f func(*chat.Message) (bool, error)) error {
	c, err := t.locked(id)
	if err != nil {
		return err
	}
	var m chat.Message
	found, err := t.conn.one(`SELECT `+messageColumns+` FROM messages g JOIN conversations c ON c.slot = g.place >> 32
		WHERE g.place = ?`, func(r row) { m = scanMessage(r) }, place(c.slot, clampSeq(seq)))
	if err != nil {
		return err
	}
	if !found || m.Seq != seq {
		return chat.NotFound("message")
	}
	if changed, err := f(&m); err != nil || !changed {
		return err
	}
	_, err = t.exec(`UPDATE messages SET body = ?, edited_at = ?, deleted_at = ?, changed_rev = ? WHERE place = ?`,
		m.Body, timeOrNull(m.EditedAt), timeOrNull(m.DeletedAt), m.Rev, place(c.slot, m.Seq))
	return err
}

// SaveHead keeps Seq and Rev of a conversation.
func (t *tx) SaveHead(id chat.ConversationID, head chat.Head) error {
	c, err := t.locked(id)
	if err != nil {
		return err
	}
	c.Seq, c.Rev = head.Seq, head.Rev
	t.wrote = true
	return t.saveHead(c)
}

// visited is a conversation that a reader may see.
type visited struct {
	chat.Conversation
	slot int64
	role chat.Role
}

// visit finds a conversation for someone who reads it. Who is not a member may
// not know of it.
func visit(c *conn, id chat.ConversationID, by chat.UserID) (out visited, err error) {
	found, err := c.one(`SELECT `+conversationColumns+`, m.role FROM conversations c
		JOIN members m ON m.user = ? AND m.slot = c.slot AND m.role <> '' WHERE c.id = ?`, func(r row) {
		out.slot, out.Conversation, _, _ = scanConversation(r)
		out.role = chat.Role(r.text(conversationWidth))
	}, by, id)
	if err == nil && !found {
		err = chat.NotFound("conversation")
	}
	return out, err
}

const (
	pageForward = `SELECT ` + messageColumns + ` FROM conversations c JOIN messages g ON g.place BETWEEN ?2 AND ?3
		WHERE c.slot = ?1 ORDER BY g.place LIMIT +?4`
	pageBackward = `SELECT ` + messageColumns + ` FROM conversations c JOIN messages g ON g.place BETWEEN ?2 AND ?3
		WHERE c.slot = ?1 ORDER BY g.place DESC LIMIT +?4`
)

// History is a page of messages; see the contract.
func (s *Store) History(ctx context.Context, id chat.ConversationID, by chat.UserID, from, to int64, backward bool, limit int) ([]chat.Message, error) {
	return read(ctx, s, "read messages", func(c *conn) ([]chat.Message, error) {
		v, err := visit(c, id, by)
		if err != nil {
			return nil, err
		}
		from, to := max(from, 1), min(to, v.Seq)
		if from > to || limit <= 0 {
			return nil, nil
		}
		page := pageForward
		if backward {
			page = pageBackward
		}
		out := make([]chat.Message, min(int64(limit), to-from+1))
		n := 0
		err = c.query(page, func(r row) error {
			at := n
			if backward {
				at = len(out) - 1 - n
			}
			out[at] = scanMessage(r)
			n++
			return nil
		}, v.slot, place(v.slot, from), place(v.slot, to), len(out))
		// seq has no holes, so that the page is full.
		return out, err
	})
}

// timeOrNull keeps the zero time as NULL, which takes no room.
func timeOrNull(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t
}
