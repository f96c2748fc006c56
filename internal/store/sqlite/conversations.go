package sqlite

import (
	"context"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/textfold"
)

// conversationColumns are the columns that scanConversation reads; c is the
// conversation.
const conversationColumns = `c.slot, c.id, c.kind, c.title, c.topic, c.low, c.high, c.seq, c.rev, c.members_rev,
	c.members, c.created_at, c.active_at`

const conversationWidth = 13

func scanConversation(r row) (slot int64, c chat.Conversation, low, high chat.UserID) {
	return r.int(0), chat.Conversation{
		ID: chat.ConversationID(r.int(1)), Kind: chat.Kind(r.text(2)), Title: r.text(3), Topic: r.text(4),
		Seq: r.int(7), Rev: r.int(8), MembersRev: r.int(9), Members: int(r.int(10)),
		CreatedAt: r.time(11), ActiveAt: r.time(12),
	}, r.user(5), r.user(6)
}

// requireConversation returns a conversation; CodeNotFound when there is none.
// There is only one writer, so nobody else changes it.
func (w *writer) requireConversation(id chat.ConversationID) (*cachedConversation, error) {
	c, err := w.conversation(id)
	if err == nil && c == nil {
		err = chat.NotFound("conversation")
	}
	return c, err
}

// LockConversation reads a conversation.
func (t *tx) LockConversation(id chat.ConversationID) (none chat.Conversation, err error) {
	c, err := t.requireConversation(id)
	if err != nil {
		return none, err
	}
	return c.Conversation, nil
}

// LockDirect reads the direct conversation of two users.
func (t *tx) LockDirect(low, high chat.UserID) (c chat.Conversation, found bool, err error) {
	var id chat.ConversationID
	found, err = t.conn.queryRow(`SELECT id FROM conversations WHERE low = ? AND high = ?`,
		func(r row) { id = chat.ConversationID(r.int(0)) }, low, high)
	if err != nil || !found {
		return c, false, err
	}
	c, err = t.LockConversation(id)
	return c, true, err
}

// InsertConversation stores a conversation that has no members yet. There is only
// one writer, so a pair for which none was found still has none.
func (t *tx) InsertConversation(c chat.Conversation, low, high chat.UserID) (bool, error) {
	var first, second any
	if c.Kind == chat.Direct {
		first, second = low, high
	}
	_, err := t.exec(`INSERT INTO conversations (id, kind, title, topic, title_fold, topic_fold, low, high,
		seq, rev, members_rev, members, created_at, active_at, change)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 0, 0, ?, ?, 0)`,
		c.ID, c.Kind, c.Title, c.Topic, textfold.Fold(c.Title), textfold.Fold(c.Topic), first, second, c.CreatedAt, c.ActiveAt)
	return err == nil, err
}

// SaveProfile stores title, topic and Rev of a conversation.
func (t *tx) SaveProfile(c chat.Conversation) error {
	k, err := t.requireConversation(c.ID)
	if err != nil {
		return err
	}
	n, err := t.nextChange()
	if err != nil {
		return err
	}
	k.Title, k.Topic, k.Rev = c.Title, c.Topic, c.Rev
	_, err = t.exec(`UPDATE conversations SET title = ?, topic = ?, title_fold = ?, topic_fold = ?, rev = ?, change = ?
		WHERE slot = ?`, c.Title, c.Topic, textfold.Fold(c.Title), textfold.Fold(c.Topic), c.Rev, n, k.slot)
	return err
}

// Audience returns who may receive a change of a conversation.
func (t *tx) Audience(c chat.Conversation) (none chat.Audience, err error) {
	k, err := t.requireConversation(c.ID)
	if err != nil {
		return none, err
	}
	return k.audience, nil
}

// conversationAsMember returns a conversation, and the role of a member. A user
// who is not a member may not see it: CodeNotFound.
func (w *writer) conversationAsMember(id chat.ConversationID, by chat.UserID) (*cachedConversation, chat.Role, error) {
	c, err := w.requireConversation(id)
	if err != nil {
		return nil, "", err
	}
	role, err := w.role(c, by)
	if err != nil {
		return nil, "", err
	}
	return c, role, chat.CheckAccess(role)
}

// Conversation returns one of by's conversations as by sees it.
func (s *Store) Conversation(ctx context.Context, id chat.ConversationID, by chat.UserID) (chat.Summary, error) {
	return read(ctx, s, "read a conversation", func(c *conn) (none chat.Summary, err error) {
		out, err := summaries(c, by, `SELECT slot, 0 AS k FROM conversations WHERE id = ?2`, id)
		if err != nil {
			return none, err
		}
		if len(out) == 0 || out[0].Role == "" {
			return none, chat.NotFound("conversation")
		}
		return out[0].Summary, nil
	})
}

type channelPage struct {
	channels []chat.Conversation
	member   []bool
}

// Channels lists public channels; see the contract.
func (s *Store) Channels(ctx context.Context, by chat.UserID, text, afterTitle string, after chat.ConversationID, limit int) ([]chat.Conversation, []bool, error) {
	page, err := read(ctx, s, "list channels", func(c *conn) (p channelPage, err error) {
		err = c.query(`SELECT `+conversationColumns+`,
				EXISTS (SELECT 1 FROM members m WHERE m.user = ?1 AND m.slot = c.slot AND m.role <> '')
			FROM conversations c WHERE c.kind = 'channel' AND (c.title, c.id) > (?2, ?3)
				AND (?4 = '' OR instr(c.title_fold, ?4) > 0 OR instr(c.topic_fold, ?4) > 0)
			ORDER BY c.title, c.id LIMIT +?5`, func(r row) error {
			_, channel, _, _ := scanConversation(r)
			p.channels = append(p.channels, channel)
			p.member = append(p.member, r.bool(conversationWidth))
			return nil
		}, by, afterTitle, after, textfold.Query(text), max(limit, 0))
		return p, err
	})
	return page.channels, page.member, err
}

// Audience returns who may receive what is not stored; see the contract.
func (s *Store) Audience(ctx context.Context, id chat.ConversationID) (chat.Audience, error) {
	return read(ctx, s, "read an audience", func(c *conn) (none chat.Audience, err error) {
		of, slot, err := conversationByID(c, id)
		if err != nil {
			return none, err
		}
		var in map[chat.UserID]chat.Role
		if of.Members <= chat.SmallConversation {
			if in, err = roles(c, slot); err != nil {
				return none, err
			}
		}
		return audience(&of, in), nil
	})
}

func conversationByID(c *conn, id chat.ConversationID) (out chat.Conversation, slot int64, err error) {
	found, err := c.queryRow(`SELECT `+conversationColumns+` FROM conversations c WHERE c.id = ?`,
		func(r row) { slot, out, _, _ = scanConversation(r) }, id)
	if err == nil && !found {
		err = chat.NotFound("conversation")
	}
	return out, slot, err
}
