package sqlite

import (
	"context"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// UpdateMessage calls f to change a message, and stores it.
func (t *tx) UpdateMessage(id chat.ConversationID, seq int64, f func(*chat.Message) (bool, error)) error {
	c, err := t.requireConversation(id)
	if err != nil {
		return err
	}
	var m chat.Message
	found, err := t.conn.queryRow(`SELECT `+messageColumns+` FROM messages g JOIN conversations c ON c.slot = g.place >> 32
		WHERE g.place = ?`, func(r row) { m = scanMessage(r) }, messageKey(c.slot, clampSeq(seq)))
	if err != nil {
		return err
	}
	if !found || m.Seq != seq {
		return chat.NotFound("message")
	}
	if changed, err := f(&m); err != nil || !changed {
		return err
	}
	_, err = t.exec(`UPDATE messages SET body = ?, edited_at = ?, deleted_at = ?, changed_rev = ?, text_check = ? WHERE place = ?`,
		m.Body, timeOrNull(m.EditedAt), timeOrNull(m.DeletedAt), m.Rev, m.TextCheck, messageKey(c.slot, m.Seq))
	return err
}

// SaveHead stores Seq and Rev of a conversation.
func (t *tx) SaveHead(id chat.ConversationID, head chat.Head) error {
	c, err := t.requireConversation(id)
	if err != nil {
		return err
	}
	c.Seq, c.Rev = head.Seq, head.Rev
	t.wrote = true
	return t.saveHead(c)
}

// readableConversation is a conversation that a reader may see.
type readableConversation struct {
	chat.Conversation
	slot int64
	role chat.Role
}

// conversationForReader returns a conversation to a member. A user who is not a
// member may not see it: CodeNotFound.
func conversationForReader(c *conn, id chat.ConversationID, by chat.UserID) (out readableConversation, err error) {
	found, err := c.queryRow(`SELECT `+conversationColumns+`, m.role FROM conversations c
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
	selectPage = `SELECT ` + messageColumns + ` FROM conversations c JOIN messages g ON g.place BETWEEN ?2 AND ?3
		WHERE c.slot = ?1 ORDER BY g.place LIMIT +?4`
	selectPageBackward = `SELECT ` + messageColumns + ` FROM conversations c JOIN messages g ON g.place BETWEEN ?2 AND ?3
		WHERE c.slot = ?1 ORDER BY g.place DESC LIMIT +?4`
)

// History returns a page of messages; see the contract.
func (s *Store) History(ctx context.Context, id chat.ConversationID, by chat.UserID, from, to int64, backward bool, limit int) (store.HistoryPage, error) {
	return read(ctx, s, "read messages", func(c *conn) (page store.HistoryPage, err error) {
		v, err := conversationForReader(c, id, by)
		if err != nil {
			return page, err
		}
		page.Head = chat.Head{Seq: v.Seq, Rev: v.Rev}
		from, to := max(from, 1), min(to, v.Seq)
		if from > to || limit <= 0 {
			return page, nil
		}
		query := selectPage
		if backward {
			query = selectPageBackward
		}
		out := make([]chat.Message, min(int64(limit), to-from+1))
		n := 0
		err = c.query(query, func(r row) error {
			at := n
			if backward {
				at = len(out) - 1 - n
			}
			out[at] = scanMessage(r)
			n++
			return nil
		}, v.slot, messageKey(v.slot, from), messageKey(v.slot, to), len(out))
		page.Messages = out // seq has no gaps, so the page is full
		return page, err
	})
}

// timeOrNull stores the zero time as NULL, which takes no space.
func timeOrNull(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t
}
