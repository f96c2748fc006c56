package postgres

import (
	"github.com/jackc/pgx/v5"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store/storetx"
)

// queryIDs runs a query whose only column is an id.
func queryIDs[T ~int64](t *tx, sql string, args ...any) ([]T, error) {
	rows, err := t.Query(t.ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[T])
}

// NextAccounts returns the next accounts of a batch.
func (t *tx) NextAccounts(b storetx.Batch, limit int) ([]chat.UserID, error) {
	return queryIDs[chat.UserID](t, `SELECT id FROM users WHERE batch = $1 AND id > $2 ORDER BY id LIMIT $3`, b.ID, b.Reached, limit)
}

// DisableAccounts disables accounts and ends their sessions.
func (t *tx) DisableAccounts(users []chat.UserID) (map[chat.UserID][]chat.SessionID, error) {
	rows, err := t.Query(t.ctx, `DELETE FROM sessions WHERE account = ANY($1) RETURNING account, id`, int64s(users))
	if err != nil {
		return nil, err
	}
	ended := map[chat.UserID][]chat.SessionID{}
	var user chat.UserID
	var session chat.SessionID
	if _, err := pgx.ForEachRow(rows, []any{&user, &session}, func() error {
		ended[user] = append(ended[user], session)
		return nil
	}); err != nil {
		return nil, err
	}
	_, err = t.exec(`UPDATE users SET disabled = true WHERE id = ANY($1)`, int64s(users))
	return ended, err
}

// ReleaseAccounts removes accounts from a batch, as far as they are in it.
func (t *tx) ReleaseAccounts(b storetx.Batch, users []chat.UserID) error {
	_, err := t.exec(`UPDATE users SET batch = NULL, disabled = true WHERE id = ANY($1) AND batch = $2`, int64s(users), b.ID)
	return err
}

// InConversations returns those of the accounts that are in a conversation.
func (t *tx) InConversations(users []chat.UserID) ([]chat.UserID, error) {
	return queryIDs[chat.UserID](t, `SELECT DISTINCT account FROM members WHERE account = ANY($1) AND role <> ''`, int64s(users))
}

// DeleteAccounts removes accounts with all their data.
func (t *tx) DeleteAccounts(users []chat.UserID) error {
	return t.execAll(int64s(users), `DELETE FROM members WHERE account = ANY($1)`, `DELETE FROM sessions WHERE account = ANY($1)`,
		`WITH gone AS (DELETE FROM failures WHERE sender = ANY($1) RETURNING sender, client_id)
			DELETE FROM sends s USING gone g WHERE s.client_id = g.client_id AND s.sender = g.sender AND s.seq = 0`,
		`DELETE FROM users WHERE id = ANY($1)`)
}

// execAll runs statements whose parameter is the ids.
func (t *tx) execAll(ids []int64, statements ...string) error {
	for _, sql := range statements {
		if _, err := t.exec(sql, ids); err != nil {
			return err
		}
	}
	return nil
}

// rowsPerAccount estimates the rows changed to remove an account from its
// conversations, which may be many.
const rowsPerAccount = 10

// LockMembershipsOfBatch locks the conversations of the next accounts of a batch
// and returns the memberships.
func (t *tx) LockMembershipsOfBatch(b storetx.Batch, work int) (memberships []chat.Participation, reached chat.UserID, err error) {
	users, err := t.NextAccounts(b, max(work/rowsPerAccount, 1))
	if err != nil || len(users) == 0 {
		return nil, 0, err
	}
	locked, err := queryIDs[int64](t, `SELECT id FROM conversations WHERE id IN (SELECT conversation FROM members WHERE account = ANY($1))
		ORDER BY id FOR NO KEY UPDATE`, int64s(users))
	if err != nil {
		return nil, 0, err
	}
	rows, err := t.Query(t.ctx, `WITH others AS MATERIALIZED (SELECT c.id, c.kind,
				EXISTS (SELECT FROM batch_conversations b WHERE b.batch = $3 AND b.conversation = c.id)
				OR EXISTS (SELECT FROM members m JOIN users u ON u.id = m.account WHERE m.conversation = c.id AND u.batch IS DISTINCT FROM $3) AS found
			FROM conversations c WHERE c.id = ANY($2))
		SELECT m.conversation, m.account, o.kind, m.role, o.found FROM members m JOIN others o ON o.id = m.conversation
		WHERE m.account = ANY($1) ORDER BY m.conversation, m.account`, int64s(users), locked, b.ID)
	if err != nil {
		return nil, 0, err
	}
	memberships, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (p chat.Participation, err error) {
		err = row.Scan(&p.Conversation, &p.User, &p.Kind, &p.Role, &p.Others)
		return p, err
	})
	return memberships, users[len(users)-1], err
}

// RecordKeptConversations records conversations that remain.
func (t *tx) RecordKeptConversations(b storetx.Batch, ids []chat.ConversationID) error {
	_, err := t.exec(`INSERT INTO batch_conversations (batch, conversation, stays) SELECT $1::bigint, k, true FROM unnest($2::bigint[]) k
		ON CONFLICT DO NOTHING`, b.ID, int64s(ids))
	return err
}

// CloseConversations removes all members from conversations that will be removed.
func (t *tx) CloseConversations(b storetx.Batch, ids []chat.ConversationID) error {
	if err := t.execAll(int64s(ids), `DELETE FROM links WHERE conversation = ANY($1)`, `DELETE FROM members WHERE conversation = ANY($1)`); err != nil {
		return err
	}
	if _, err := t.exec(`UPDATE conversations SET kind = $2, low = NULL, high = NULL, members = 0, rev = rev + 1, members_rev = rev + 1,
		change = pg_current_xact_id() WHERE id = ANY($1)`, int64s(ids), chat.Group); err != nil {
		return err
	}
	_, err := t.exec(`INSERT INTO batch_conversations (batch, conversation, stays) SELECT $1::bigint, k, false FROM unnest($2::bigint[]) k`, b.ID, int64s(ids))
	return err
}

// batchConversations returns conversations that are removed, or that remain.
func (t *tx) batchConversations(b storetx.Batch, stays bool, limit int, lock string) ([]chat.MessageWalk, error) {
	rows, err := t.Query(t.ctx, `SELECT c.id, b.seq, c.seq FROM batch_conversations b JOIN conversations c ON c.id = b.conversation
		WHERE b.batch = $1 AND b.stays = $2 ORDER BY c.id LIMIT $3 `+lock, b.ID, stays, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[chat.MessageWalk])
}

// LockClosedConversations locks and returns conversations that were closed.
func (t *tx) LockClosedConversations(b storetx.Batch, limit int) ([]chat.MessageWalk, error) {
	return t.batchConversations(b, false, limit, `FOR UPDATE OF c`)
}

// NextKeptConversation returns one of those that remain.
func (t *tx) NextKeptConversation(b storetx.Batch) (w chat.MessageWalk, found bool, err error) {
	list, err := t.batchConversations(b, true, 1, "")
	if err != nil || len(list) == 0 {
		return w, false, err
	}
	return list[0], true, nil
}

// EraseMessages removes messages from their months, with their sends and
// amendments. Messages of a detached month are not found, and their client ids
// stay in use.
func (t *tx) EraseMessages(parts []chat.MessageRange) (n int, err error) {
	var conversations, low, high []int64
	for _, p := range parts {
		conversations, low, high = append(conversations, int64(p.Conversation)), append(low, p.After+1), append(high, p.To)
	}
	const ranges = `unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS k (conversation, low, high)`
	if _, err := t.queryRow([]any{&n}, `WITH k AS MATERIALIZED (SELECT k.*, `+monthSQL("k.conversation", "k.low")+` AS since,
				`+monthSQL("k.conversation", "k.high")+` AS until FROM `+ranges+` WHERE k.low <= k.high),
			gone AS (DELETE FROM messages m USING k WHERE m.conversation = k.conversation AND m.seq BETWEEN k.low AND k.high
				AND m.month BETWEEN k.since AND k.until RETURNING m.client_id, m.sender),
			names AS (DELETE FROM sends s USING gone g WHERE s.client_id = g.client_id AND s.sender = g.sender)
		SELECT count(*) FROM gone`, conversations, low, high); err != nil {
		return 0, err
	}
	_, err = t.exec(`DELETE FROM amendments a USING `+ranges+` WHERE a.conversation = k.conversation AND a.seq BETWEEN k.low AND k.high`,
		conversations, low, high)
	return n, err
}

// DeleteConversations removes conversations that have no messages.
func (t *tx) DeleteConversations(ids []chat.ConversationID) error {
	return t.execAll(int64s(ids), `DELETE FROM spans WHERE conversation = ANY($1)`,
		`DELETE FROM batch_conversations WHERE conversation = ANY($1)`, `DELETE FROM conversations WHERE id = ANY($1)`)
}

// Authors returns who wrote in a range.
func (t *tx) Authors(p chat.MessageRange) ([]chat.UserID, error) {
	if p.After == p.To {
		return nil, nil
	}
	return queryIDs[chat.UserID](t, `WITH k AS MATERIALIZED (SELECT `+monthSQL("$1", "$2")+` AS since, `+monthSQL("$1", "$3")+` AS until)
		SELECT DISTINCT m.sender FROM k JOIN messages m ON m.conversation = $1 AND m.seq BETWEEN $2 AND $3
			AND m.month BETWEEN k.since AND k.until`, p.Conversation, p.After+1, p.To)
}

// SaveProgress records how far a walk has come, or that it has ended.
func (t *tx) SaveProgress(b storetx.Batch, p chat.MessageRange) error {
	if p.Last {
		_, err := t.exec(`DELETE FROM batch_conversations WHERE batch = $1 AND conversation = $2`, b.ID, p.Conversation)
		return err
	}
	_, err := t.exec(`UPDATE batch_conversations SET seq = $3 WHERE batch = $1 AND conversation = $2`, b.ID, p.Conversation, p.To)
	return err
}
