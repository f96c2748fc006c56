package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// messageColumns are those of messageRow, of a message g.
const messageColumns = `g.conversation, g.seq, g.id, g.sender, g.client_id, coalesce(g.changed_rev, g.rev), g.reply_to, g.at, g.edited_at, g.deleted_at, g.body`

// messageRow reads a message, or finds that there is none: all of its columns
// may be NULL, on the outer side of a join.
type messageRow struct {
	conversation, seq, id, sender, rev, replyTo *int64
	client                                      *[16]byte
	at, editedAt, deletedAt                     *time.Time
	body                                        *string
}

func (r *messageRow) fields() []any {
	return []any{&r.conversation, &r.seq, &r.id, &r.sender, &r.client, &r.rev, &r.replyTo, &r.at, &r.editedAt, &r.deletedAt, &r.body}
}

func (r *messageRow) message() *chat.Message {
	if r.id == nil {
		return nil
	}
	return &chat.Message{
		ID: chat.MessageID(*r.id), Conversation: chat.ConversationID(*r.conversation), Seq: *r.seq, Rev: *r.rev,
		Sender: chat.UserID(*r.sender), ClientID: *r.client, Body: *r.body, ReplyTo: *r.replyTo,
		At: fromNull(r.at), EditedAt: fromNull(r.editedAt), DeletedAt: fromNull(r.deletedAt),
	}
}

func collectMessages(rows pgx.Rows, err error) ([]chat.Message, error) {
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (out chat.Message, err error) {
		var r messageRow
		if err = row.Scan(r.fields()...); err == nil {
			out = *r.message()
		}
		return out, err
	})
}

// EditMessage gives a message a new text.
func (s *Store) EditMessage(ctx context.Context, id chat.ConversationID, seq int64, by chat.UserID, body string) (store.Edited, error) {
	return change(ctx, s, "edit a message", func(t *tx) (store.Edited, error) {
		return t.amend(id, seq, by, func(h *chat.Head, m *chat.Message, role chat.Role) (bool, error) {
			return h.Edit(m, by, role, body, t.now())
		})
	})
}

// DeleteMessage makes a message a tombstone.
func (s *Store) DeleteMessage(ctx context.Context, id chat.ConversationID, seq int64, by chat.UserID) (store.Edited, error) {
	return change(ctx, s, "delete a message", func(t *tx) (store.Edited, error) {
		return t.amend(id, seq, by, func(h *chat.Head, m *chat.Message, role chat.Role) (bool, error) {
			return h.Delete(m, by, role, t.now())
		})
	})
}

// amend loads a message, asks the rule and keeps its verdict.
func (t *tx) amend(id chat.ConversationID, seq int64, by chat.UserID,
	rule func(*chat.Head, *chat.Message, chat.Role) (bool, error),
) (none store.Edited, err error) {
	c, role, err := t.as(id, by)
	if err != nil {
		if chat.CodeOf(err) == chat.CodeNotFound {
			err = chat.NotFound("message")
		}
		return none, err
	}
	var r messageRow
	var month int64
	found, err := t.one(append(r.fields(), &month), `SELECT `+messageColumns+`, g.month FROM messages g
		WHERE g.conversation = $1 AND g.seq = $2 AND g.month = `+monthOf("$1", "$2"), id, seq)
	if err := notFound(found, err, "message"); err != nil {
		return none, err
	}
	m := r.message()
	audience, err := t.audience(c)
	if err != nil {
		return none, err
	}
	head := chat.Head{Seq: c.Seq, Rev: c.Rev}
	changed, err := rule(&head, m, role)
	if err != nil || !changed {
		return store.Edited{Message: *m, Audience: audience}, err
	}
	if _, err := t.exec(`UPDATE messages SET body = $4, edited_at = $5, deleted_at = $6, changed_rev = $7 WHERE conversation = $1 AND seq = $2 AND month = $3`,
		id, seq, month, m.Body, timeOrNull(m.EditedAt), timeOrNull(m.DeletedAt), m.Rev); err != nil {
		return none, err
	}
	if _, err := t.exec(`INSERT INTO amendments (conversation, seq, month, rev) VALUES ($1, $2, $3, $4)
		ON CONFLICT (conversation, seq) DO UPDATE SET rev = excluded.rev`, id, seq, month, m.Rev); err != nil {
		return none, err
	}
	return store.Edited{Message: *m, Audience: audience, Changed: true}, t.saveHead(id, head, c.ActiveAt)
}

// History is a page of messages; see the contract.
func (s *Store) History(ctx context.Context, id chat.ConversationID, by chat.UserID, from, to int64, backward bool, limit int) ([]chat.Message, error) {
	return readAnywhere(ctx, s, "read messages", func(ctx context.Context, q querier) ([]chat.Message, error) {
		limit, from, to := int64(max(limit, 0)), max(from, 1), max(to, 0)
		// One statement sees one state: the membership, the last message and
		// the page are of the same moment. As seq has no holes, the page is
		// known by its ends, and with it the months to look into.
		rows, err := q.Query(ctx, `WITH ends AS MATERIALIZED (
				SELECT CASE WHEN $5 THEN greatest($3, l.last - $6 + 1) ELSE $3 END AS low,
					CASE WHEN $5 THEN l.last ELSE least(l.last, $3 - 1 + $6) END AS high
				FROM members v JOIN conversations c ON c.id = v.conversation
				CROSS JOIN LATERAL (SELECT least($4, c.seq) AS last) l
				WHERE v.account = $2 AND v.conversation = $1 AND v.role <> ''),
			page AS MATERIALIZED (SELECT low, high, `+monthOf("$1", "low")+` AS since, `+monthOf("$1", "high")+` AS until FROM ends)
			SELECT `+messageColumns+` FROM page LEFT JOIN LATERAL (SELECT * FROM messages x
				WHERE x.conversation = $1 AND x.seq BETWEEN page.low AND page.high AND x.month BETWEEN page.since AND page.until) g ON true
			ORDER BY g.seq`, id, by, from, to, backward, limit)
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		member := false
		var out []chat.Message
		for rows.Next() {
			var r messageRow
			if err := rows.Scan(r.fields()...); err != nil {
				return nil, err
			}
			member = true
			if m := r.message(); m != nil {
				out = append(out, *m)
			}
		}
		return out, notFound(member, rows.Err(), "conversation")
	})
}
