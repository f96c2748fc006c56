package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/textfold"
)

// conversationColumns are the columns that conversationRow reads; c is the
// conversation.
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

// lock locks and returns the conversation that matches a condition.
func (t *tx) lock(where string, args ...any) (c chat.Conversation, found bool, err error) {
	var r conversationRow
	found, err = t.queryRow(r.fields(), `SELECT `+conversationColumns+` FROM conversations c WHERE `+where+` FOR NO KEY UPDATE`, args...)
	return r.conversation(), found, err
}

// LockConversation locks and returns a conversation.
func (t *tx) LockConversation(id chat.ConversationID) (chat.Conversation, error) {
	c, found, err := t.lock(`c.id = $1`, id)
	return c, notFound(found, err, "conversation")
}

// LockDirect locks and returns the direct conversation of two users.
func (t *tx) LockDirect(low, high chat.UserID) (chat.Conversation, bool, error) {
	return t.lock(`c.low = $1 AND c.high = $2`, low, high)
}

// InsertConversation stores a conversation that has no members yet.
func (t *tx) InsertConversation(c chat.Conversation, low, high chat.UserID) (bool, error) {
	var first, second *chat.UserID
	if c.Kind == chat.Direct {
		first, second = &low, &high
	}
	n, err := t.exec(`INSERT INTO conversations (id, kind, title, topic, title_fold, topic_fold, low, high, created_at, active_at, change)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, pg_current_xact_id()) ON CONFLICT (low, high) WHERE low IS NOT NULL DO NOTHING`,
		c.ID, c.Kind, c.Title, c.Topic, textfold.Fold(c.Title), textfold.Fold(c.Topic), first, second, c.CreatedAt, c.ActiveAt)
	return n > 0, err
}

// SaveProfile stores title, topic and Rev of a conversation.
func (t *tx) SaveProfile(c chat.Conversation) error {
	_, err := t.exec(`UPDATE conversations SET title = $2, topic = $3, title_fold = $4, topic_fold = $5, rev = $6,
		change = pg_current_xact_id() WHERE id = $1`, c.ID, c.Title, c.Topic, textfold.Fold(c.Title), textfold.Fold(c.Topic), c.Rev)
	return err
}

// readerRole returns the kind of a conversation and the role of a member. A user
// who is not a member may not see it: CodeNotFound.
func readerRole(ctx context.Context, q querier, id chat.ConversationID, by chat.UserID) (kind chat.Kind, role chat.Role, err error) {
	found, err := queryRow(ctx, q, []any{&kind, &role}, `SELECT c.kind, m.role FROM conversations c
		JOIN members m ON m.account = $2 AND m.conversation = c.id AND m.role <> '' WHERE c.id = $1`, id, by)
	return kind, role, notFound(found, err, "conversation")
}

// Audience returns who may receive a change of a conversation.
func (t *tx) Audience(c chat.Conversation) (chat.Audience, error) {
	a := chat.Audience{Conversation: c.ID, MembersRev: c.MembersRev}
	if c.Members > chat.SmallConversation {
		return a, nil
	}
	rows, err := t.Query(t.ctx, `SELECT account FROM members WHERE conversation = $1 AND role <> '' ORDER BY account`, c.ID)
	if err != nil {
		return a, err
	}
	a.Members, err = pgx.CollectRows(rows, pgx.RowTo[chat.UserID])
	if a.Members == nil {
		a.Members = []chat.UserID{}
	}
	return a, err
}

// Conversation returns one of by's conversations as by sees it.
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

type channelPage struct {
	channels []chat.Conversation
	member   []bool
}

// Channels lists public channels; see the contract.
func (s *Store) Channels(ctx context.Context, by chat.UserID, text, afterTitle string, after chat.ConversationID, limit int) ([]chat.Conversation, []bool, error) {
	page, err := readPreferReplica(ctx, s, "list channels", func(ctx context.Context, q querier) (p channelPage, err error) {
		rows, err := q.Query(ctx, `SELECT `+conversationColumns+`,
				EXISTS (SELECT FROM members m WHERE m.account = $1 AND m.conversation = c.id AND m.role <> '')
			FROM conversations c WHERE c.kind = 'channel' AND (c.title, c.id) > ($2, $3)
				AND ($4 = '' OR position($4 IN c.title_fold) > 0 OR position($4 IN c.topic_fold) > 0)
			ORDER BY c.title, c.id LIMIT $5`, by, afterTitle, after, textfold.Query(text), max(limit, 0))
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

// Audience returns who may receive what is not stored; see the contract.
func (s *Store) Audience(ctx context.Context, id chat.ConversationID) (chat.Audience, error) {
	return read(ctx, s, "read an audience", func(ctx context.Context, q querier) (a chat.Audience, err error) {
		a.Conversation = id
		var members int
		var ids []int64
		// One statement, so that the members are those of the rev.
		found, err := queryRow(ctx, q, []any{&a.MembersRev, &members, &ids}, `SELECT c.members_rev, c.members, CASE WHEN c.members <= $2 THEN
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
