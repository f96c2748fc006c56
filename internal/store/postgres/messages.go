package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// messageColumns are the columns that messageRow reads; g is the message.
const messageColumns = `g.conversation, g.seq, g.id, g.sender, g.client_id, coalesce(g.changed_rev, g.rev), g.reply_to, g.at, g.edited_at, g.deleted_at, g.body, g.text_check`

// messageRow reads a message, or none: all columns are NULL when an outer join
// found nothing.
type messageRow struct {
	conversation, seq, id, sender, rev, replyTo *int64
	client                                      *[16]byte
	at, editedAt, deletedAt                     *time.Time
	body                                        *string
	textCheck                                   *int64
}

func (r *messageRow) fields() []any {
	return []any{&r.conversation, &r.seq, &r.id, &r.sender, &r.client, &r.rev, &r.replyTo, &r.at, &r.editedAt, &r.deletedAt, &r.body, &r.textCheck}
}

func (r *messageRow) message() *chat.Message {
	if r.id == nil {
		return nil
	}
	var textCheck int64
	if r.textCheck != nil {
		textCheck = *r.textCheck
	}
	return &chat.Message{
		TextCheck: textCheck,
		ID:        chat.MessageID(*r.id), Conversation: chat.ConversationID(*r.conversation), Seq: *r.seq, Rev: *r.rev,
		Sender: chat.UserID(*r.sender), ClientID: *r.client, Body: *r.body, ReplyTo: *r.replyTo,
		At: timeFromNull(r.at), EditedAt: timeFromNull(r.editedAt), DeletedAt: timeFromNull(r.deletedAt),
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

// UpdateMessage calls f to change a message, and stores it.
func (t *tx) UpdateMessage(id chat.ConversationID, seq int64, f func(*chat.Message) (bool, error)) error {
	var r messageRow
	var month int64
	found, err := t.queryRow(append(r.fields(), &month), `SELECT `+messageColumns+`, g.month FROM messages g
		WHERE g.conversation = $1 AND g.seq = $2 AND g.month = `+monthSQL("$1", "$2"), id, seq)
	if err := notFound(found, err, "message"); err != nil {
		return err
	}
	m := r.message()
	if changed, err := f(m); err != nil || !changed {
		return err
	}
	if _, err := t.exec(`UPDATE messages SET body = $4, edited_at = $5, deleted_at = $6, changed_rev = $7, text_check = $8 WHERE conversation = $1 AND seq = $2 AND month = $3`,
		id, seq, month, m.Body, timeOrNull(m.EditedAt), timeOrNull(m.DeletedAt), m.Rev, m.TextCheck); err != nil {
		return err
	}
	_, err = t.exec(`INSERT INTO amendments (conversation, seq, month, rev) VALUES ($1, $2, $3, $4)
		ON CONFLICT (conversation, seq) DO UPDATE SET rev = excluded.rev`, id, seq, month, m.Rev)
	return err
}

// SaveHead stores Seq and Rev of a conversation.
func (t *tx) SaveHead(id chat.ConversationID, head chat.Head) error {
	_, err := t.exec(`UPDATE conversations SET seq = $2, rev = $3, change = pg_current_xact_id() WHERE id = $1`, id, head.Seq, head.Rev)
	return err
}

// History returns a page of messages; see the contract.
func (s *Store) History(ctx context.Context, id chat.ConversationID, by chat.UserID, from, to int64, backward bool, limit int) (store.HistoryPage, error) {
	return readPreferReplica(ctx, s, "read messages", func(ctx context.Context, q querier) (out store.HistoryPage, err error) {
		limit, from, to := int64(max(limit, 0)), max(from, 1), max(to, 0)
		// One statement sees one snapshot: the membership, the head and the page
		// are consistent. As seq has no gaps, the first and the last
		// seq of the page follow from it, and with them the months to read.
		rows, err := q.Query(ctx, `WITH ends AS MATERIALIZED (
				SELECT c.seq, c.rev, CASE WHEN $5 THEN greatest($3, l.last - $6 + 1) ELSE $3 END AS low,
					CASE WHEN $5 THEN l.last ELSE least(l.last, $3 - 1 + $6) END AS high
				FROM members v JOIN conversations c ON c.id = v.conversation
				CROSS JOIN LATERAL (SELECT least($4, c.seq) AS last) l
				WHERE v.account = $2 AND v.conversation = $1 AND v.role <> ''),
			page AS MATERIALIZED (SELECT seq, rev, low, high, `+monthSQL("$1", "low")+` AS since, `+monthSQL("$1", "high")+` AS until FROM ends)
			SELECT page.seq, page.rev, `+messageColumns+` FROM page LEFT JOIN LATERAL (SELECT * FROM messages x
				WHERE x.conversation = $1 AND x.seq BETWEEN page.low AND page.high AND x.month BETWEEN page.since AND page.until) g ON true
			ORDER BY g.seq`, id, by, from, to, backward, limit)
		if err != nil {
			return out, err
		}
		defer rows.Close()
		member := false
		for rows.Next() {
			var r messageRow
			if err := rows.Scan(append([]any{&out.Head.Seq, &out.Head.Rev}, r.fields()...)...); err != nil {
				return out, err
			}
			member = true
			if m := r.message(); m != nil {
				out.Messages = append(out.Messages, *m)
			}
		}
		return out, notFound(member, rows.Err(), "conversation")
	})
}
