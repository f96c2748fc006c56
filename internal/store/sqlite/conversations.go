package sqlite

import (
	"context"
	"slices"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/search"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// conversationColumns are those that scanConversation reads, of a
// conversation c.
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

// CreateConversation makes a conversation; see the contract.
func (s *Store) CreateConversation(ctx context.Context, n store.NewConversation) (store.Change, error) {
	return change(ctx, s, "create a conversation", func(t *tx) (store.Change, error) { return t.create(n) })
}

// people are all who are to be in a conversation, ascending.
func people(n store.NewConversation) []chat.UserID {
	return slices.Compact(slices.Sorted(slices.Values(append([]chat.UserID{n.By}, n.Members...))))
}

func (t *tx) create(n store.NewConversation) (none store.Change, err error) {
	members := people(n)
	if n, err = n.Clean(len(members)); err != nil {
		return none, err
	}
	var low, high any
	if n.Kind == chat.Direct {
		low, high = members[0], members[1]
		c, err := t.pair(members[0], members[1])
		if err != nil {
			return none, err
		}
		if c != nil {
			return unchanged(c), nil
		}
	}
	for _, user := range members {
		if ok, err := t.usable(user); err != nil {
			return none, err
		} else if !ok {
			return none, chat.NotFound("account")
		}
	}
	now := t.now()
	id := chat.ConversationID(t.store.newID())
	if _, err := t.exec(`INSERT INTO conversations (id, kind, title, topic, title_fold, topic_fold, low, high,
		seq, rev, members_rev, members, created_at, active_at, change)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 0, 0, ?, ?, 0)`,
		id, n.Kind, n.Title, n.Topic, search.Fold(n.Title), search.Fold(n.Topic), low, high, now, now); err != nil {
		return none, err
	}
	c, err := t.conversation(id)
	if err != nil {
		return none, err
	}
	return t.enroll(c, members, func(user chat.UserID) chat.Role {
		if n.Kind != chat.Direct && user == n.By {
			return chat.Owner
		}
		return chat.Member
	})
}

// pair finds the direct conversation of two people; nil when there is none.
func (w *writer) pair(low, high chat.UserID) (*known, error) {
	var id chat.ConversationID
	found, err := w.conn.one(`SELECT id FROM conversations WHERE low = ? AND high = ?`,
		func(r row) { id = chat.ConversationID(r.int(0)) }, low, high)
	if err != nil || !found {
		return nil, err
	}
	return w.conversation(id)
}

// as finds a conversation for someone who acts in it. Who is not a member may
// not know of it.
func (w *writer) as(id chat.ConversationID, by chat.UserID) (*known, chat.Role, error) {
	c, err := w.conversation(id)
	if err != nil {
		return nil, "", err
	}
	var role chat.Role
	if c != nil {
		if role, err = w.role(c, by); err != nil {
			return nil, "", err
		}
	}
	if !role.MayPost() {
		return nil, "", chat.NotFound("conversation")
	}
	return c, role, nil
}

// Conversation is one of by's conversations as by sees it.
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

// UpdateConversation changes title and topic where they are not nil.
func (s *Store) UpdateConversation(ctx context.Context, id chat.ConversationID, by chat.UserID, title, topic *string) (store.Change, error) {
	return change(ctx, s, "change a conversation", func(t *tx) (none store.Change, err error) {
		c, role, err := t.as(id, by)
		if err != nil {
			return none, err
		}
		if err := chat.CheckRename(c.Kind, role); err != nil {
			return none, err
		}
		newTitle, newTopic := c.Title, c.Topic
		if title != nil {
			if newTitle, err = chat.CleanTitle(*title); err != nil {
				return none, err
			}
		}
		if topic != nil {
			if newTopic, err = chat.CleanTopic(*topic); err != nil {
				return none, err
			}
		}
		if newTitle == c.Title && newTopic == c.Topic {
			return store.Change{Conversation: c.Conversation, Audience: c.audience}, nil
		}
		n, err := t.nextChange()
		if err != nil {
			return none, err
		}
		c.Title, c.Topic = newTitle, newTopic
		c.Rev++
		_, err = t.exec(`UPDATE conversations SET title = ?, topic = ?, title_fold = ?, topic_fold = ?, rev = ?, change = ?
			WHERE slot = ?`, c.Title, c.Topic, search.Fold(c.Title), search.Fold(c.Topic), c.Rev, n, c.slot)
		return store.Change{Conversation: c.Conversation, Audience: c.audience, Changed: true}, err
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
		}, by, afterTitle, after, search.Fold(text), max(limit, 0))
		return p, err
	})
	return page.channels, page.member, err
}

// Audience is who may receive what is not stored; see the contract.
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
	found, err := c.one(`SELECT `+conversationColumns+` FROM conversations c WHERE c.id = ?`,
		func(r row) { slot, out, _, _ = scanConversation(r) }, id)
	if err == nil && !found {
		err = chat.NotFound("conversation")
	}
	return out, slot, err
}
