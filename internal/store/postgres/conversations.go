package postgres

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/search"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// conversationColumns are those of conversationRow, of a conversation c.
const conversationColumns = `c.id, c.kind, c.title, c.topic, c.seq, c.rev, c.members_rev, c.members, c.created_at, c.active_at, c.month`

// conversationRow reads a conversation.
type conversationRow struct {
	chat.Conversation
	month int64
}

func (r *conversationRow) fields() []any {
	return []any{&r.ID, &r.Kind, &r.Title, &r.Topic, &r.Seq, &r.Rev, &r.MembersRev, &r.Members, &r.CreatedAt, &r.ActiveAt, &r.month}
}

func (r *conversationRow) conversation() chat.Conversation {
	r.CreatedAt, r.ActiveAt = r.CreatedAt.UTC(), r.ActiveAt.UTC()
	return r.Conversation
}

// locked is a conversation that the transaction may change: nobody else does
// until it ends.
type locked = conversationRow

// lock takes a conversation; CodeNotFound when there is none.
func (t *tx) lock(id chat.ConversationID) (*locked, error) {
	c := &locked{}
	found, err := t.one(c.fields(), `SELECT `+conversationColumns+` FROM conversations c WHERE c.id = $1 FOR NO KEY UPDATE`, id)
	if err := notFound(found, err, "conversation"); err != nil {
		return nil, err
	}
	c.conversation()
	return c, nil
}

// role is what a user is in a conversation, "" for nothing.
func (t *tx) role(c *locked, user chat.UserID) (role chat.Role, err error) {
	_, err = t.one([]any{&role}, `SELECT role FROM members WHERE account = $1 AND conversation = $2`, user, c.ID)
	return role, err
}

// as takes a conversation for someone who acts in it. Who is not a member may
// not know of it.
func (t *tx) as(id chat.ConversationID, by chat.UserID) (*locked, chat.Role, error) {
	c, err := t.lock(id)
	if err != nil {
		return nil, "", err
	}
	role, err := t.role(c, by)
	if err != nil {
		return nil, "", err
	}
	if !role.MayPost() {
		return nil, "", chat.NotFound("conversation")
	}
	return c, role, nil
}

// visit finds out what a reader is in a conversation. Who is not a member may
// not know of it.
func visit(ctx context.Context, q querier, id chat.ConversationID, by chat.UserID) (kind chat.Kind, role chat.Role, err error) {
	found, err := one(ctx, q, []any{&kind, &role}, `SELECT c.kind, m.role FROM conversations c
		JOIN members m ON m.account = $2 AND m.conversation = c.id AND m.role <> '' WHERE c.id = $1`, id, by)
	return kind, role, notFound(found, err, "conversation")
}

// audience is who may receive a change of the conversation as it is now.
func (t *tx) audience(c *locked) (chat.Audience, error) {
	return audienceOf(t.ctx, t.Tx, &c.Conversation)
}

func audienceOf(ctx context.Context, q querier, c *chat.Conversation) (chat.Audience, error) {
	a := chat.Audience{Conversation: c.ID, MembersRev: c.MembersRev}
	if c.Members > chat.SmallConversation {
		return a, nil
	}
	rows, err := q.Query(ctx, `SELECT account FROM members WHERE conversation = $1 AND role <> '' ORDER BY account`, c.ID)
	if err != nil {
		return a, err
	}
	a.Members, err = pgx.CollectRows(rows, pgx.RowTo[chat.UserID])
	if a.Members == nil {
		a.Members = []chat.UserID{}
	}
	return a, err
}

func (t *tx) unchanged(c *locked) (store.Change, error) {
	a, err := t.audience(c)
	return store.Change{Conversation: c.Conversation, Audience: a}, err
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
	var low, high *chat.UserID
	if n.Kind == chat.Direct {
		low, high = &members[0], &members[1]
		if c, err := t.pair(*low, *high); err != nil {
			return none, err
		} else if c != nil {
			return t.unchanged(c)
		}
	}
	if ok, err := t.usable(members); err != nil || !ok {
		return none, notFound(ok, err, "account")
	}
	id, err := t.newID()
	if err != nil {
		return none, err
	}
	now := t.now()
	inserted, err := t.exec(`INSERT INTO conversations (id, kind, title, topic, title_fold, topic_fold, low, high, created_at, active_at, change)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, pg_current_xact_id()) ON CONFLICT (low, high) WHERE low IS NOT NULL DO NOTHING`,
		id, n.Kind, n.Title, n.Topic, search.Fold(n.Title), search.Fold(n.Topic), low, high, now)
	if err != nil {
		return none, err
	}
	if inserted == 0 {
		// The other one of the pair was faster.
		c, err := t.pair(*low, *high)
		if err != nil {
			return none, err
		}
		return t.unchanged(c)
	}
	c, err := t.lock(chat.ConversationID(id))
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

// pair takes the direct conversation of two people; nil when there is none.
func (t *tx) pair(low, high chat.UserID) (*locked, error) {
	c := &locked{}
	found, err := t.one(c.fields(), `SELECT `+conversationColumns+` FROM conversations c WHERE c.low = $1 AND c.high = $2 FOR NO KEY UPDATE`, low, high)
	if err != nil || !found {
		return nil, err
	}
	c.conversation()
	return c, nil
}

// Conversation is one of by's conversations as by sees it.
func (s *Store) Conversation(ctx context.Context, id chat.ConversationID, by chat.UserID) (chat.Summary, error) {
	return read(ctx, s, "read a conversation", func(ctx context.Context, q querier) (none chat.Summary, err error) {
		out, err := summaries(ctx, q, by, `SELECT $2::bigint AS conversation, '0'::xid8 AS change, 1 AS place`, id)
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
			return t.unchanged(c)
		}
		c.Title, c.Topic = newTitle, newTopic
		c.Rev++
		if _, err := t.exec(`UPDATE conversations SET title = $2, topic = $3, title_fold = $4, topic_fold = $5, rev = $6,
			change = pg_current_xact_id() WHERE id = $1`, id, c.Title, c.Topic, search.Fold(c.Title), search.Fold(c.Topic), c.Rev); err != nil {
			return none, err
		}
		out, err := t.unchanged(c)
		out.Changed = true
		return out, err
	})
}

type channelPage struct {
	channels []chat.Conversation
	member   []bool
}

// Channels lists public channels; see the contract.
func (s *Store) Channels(ctx context.Context, by chat.UserID, text, afterTitle string, after chat.ConversationID, limit int) ([]chat.Conversation, []bool, error) {
	page, err := readAnywhere(ctx, s, "list channels", func(ctx context.Context, q querier) (p channelPage, err error) {
		rows, err := q.Query(ctx, `SELECT `+conversationColumns+`,
				EXISTS (SELECT FROM members m WHERE m.account = $1 AND m.conversation = c.id AND m.role <> '')
			FROM conversations c WHERE c.kind = 'channel' AND (c.title, c.id) > ($2, $3)
				AND ($4 = '' OR position($4 IN c.title_fold) > 0 OR position($4 IN c.topic_fold) > 0)
			ORDER BY c.title, c.id LIMIT $5`, by, afterTitle, after, search.Fold(text), max(limit, 0))
		if err != nil {
			return p, err
		}
		defer rows.Close()
		for rows.Next() {
			var r conversationRow
			var member bool
			if err := rows.Scan(append(r.fields(), &member)...); err != nil {
				return p, err
			}
			p.channels, p.member = append(p.channels, r.conversation()), append(p.member, member)
		}
		return p, rows.Err()
	})
	return page.channels, page.member, err
}

// Audience is who may receive what is not stored; see the contract.
func (s *Store) Audience(ctx context.Context, id chat.ConversationID) (chat.Audience, error) {
	return read(ctx, s, "read an audience", func(ctx context.Context, q querier) (a chat.Audience, err error) {
		a.Conversation = id
		var members int
		var ids []int64
		// One statement, so that the members are those of the rev.
		found, err := one(ctx, q, []any{&a.MembersRev, &members, &ids}, `SELECT c.members_rev, c.members, CASE WHEN c.members <= $2 THEN
			(SELECT array_agg(m.account ORDER BY m.account) FROM members m WHERE m.conversation = c.id AND m.role <> '') END
			FROM conversations c WHERE c.id = $1`, id, chat.SmallConversation)
		if err := notFound(found, err, "conversation"); err != nil {
			return chat.Audience{}, err
		}
		if members <= chat.SmallConversation {
			a.Members = userIDs(ids)
		}
		return a, nil
	})
}

func userIDs(ids []int64) []chat.UserID {
	out := make([]chat.UserID, len(ids))
	for i, id := range ids {
		out[i] = chat.UserID(id)
	}
	return out
}

// saveHead writes down that a conversation has moved on.
func (t *tx) saveHead(id chat.ConversationID, head chat.Head, at time.Time) error {
	_, err := t.exec(`UPDATE conversations SET seq = $2, rev = $3, active_at = $4, change = pg_current_xact_id() WHERE id = $1`,
		id, head.Seq, head.Rev, at)
	return err
}
