package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/textfold"
)

// Role returns a user's role in a conversation, "" for a non-member.
func (t *tx) Role(id chat.ConversationID, user chat.UserID) (role chat.Role, err error) {
	_, err = t.queryRow([]any{&role}, `SELECT role FROM members WHERE account = $1 AND conversation = $2`, user, id)
	return role, err
}

// NonMembers returns those of users who are not members.
func (t *tx) NonMembers(id chat.ConversationID, users []chat.UserID) ([]chat.UserID, error) {
	rows, err := t.Query(t.ctx, `SELECT k.account FROM (SELECT account, min(n) AS n FROM unnest($1::bigint[]) WITH ORDINALITY AS u (account, n) GROUP BY account) k
		WHERE NOT EXISTS (SELECT FROM members m WHERE m.account = k.account AND m.conversation = $2 AND m.role <> '') ORDER BY k.n`,
		int64s(users), id)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[chat.UserID])
}

// Memberships returns all members of a conversation.
func (t *tx) Memberships(id chat.ConversationID) ([]chat.Membership, error) {
	return memberships(t.ctx, t.Tx, id, "", 0, chat.MaxMembers)
}

// CountOwners returns how many members are owners.
func (t *tx) CountOwners(id chat.ConversationID) (n int, err error) {
	_, err = t.queryRow([]any{&n}, `SELECT count(*) FROM members WHERE conversation = $1 AND role = $2 AND role <> ''`, id, chat.Owner)
	return n, err
}

// SaveMembers stores a change of membership, in one round trip.
func (t *tx) SaveMembers(m chat.MembersChange) error {
	c := &m.Conversation
	b := &pgx.Batch{}
	if len(m.Put) > 0 {
		var users, read, received []int64
		var roles []string
		var joined []time.Time
		for i := range m.Put {
			p := &m.Put[i]
			users, roles, joined = append(users, int64(p.User)), append(roles, string(p.Role)), append(joined, p.JoinedAt)
			read, received = append(read, p.Read), append(received, p.Received)
		}
		b.Queue(`INSERT INTO members (account, conversation, role, joined_at, read, received, change)
			SELECT k.account, $2, k.role, k.joined_at, k.read, k.received, pg_current_xact_id()
			FROM unnest($1::bigint[], $3::text[], $4::timestamptz[], $5::bigint[], $6::bigint[]) AS k (account, role, joined_at, read, received)
			ON CONFLICT (account, conversation) DO UPDATE SET role = excluded.role, joined_at = excluded.joined_at,
				read = excluded.read, received = excluded.received, change = excluded.change, marked = excluded.marked`,
			users, c.ID, roles, joined, read, received)
	}
	for _, r := range m.Roles {
		b.Queue(`UPDATE members SET role = $3, change = pg_current_xact_id() WHERE account = $1 AND conversation = $2`, r.User, c.ID, r.Role)
	}
	b.Queue(`UPDATE conversations SET rev = $2, members_rev = $3, members = $4, change = pg_current_xact_id() WHERE id = $1`,
		c.ID, c.Rev, c.MembersRev, c.Members)
	return t.SendBatch(t.ctx, b).Close()
}

// membershipColumns are the columns of membershipFields; m is the member.
const membershipColumns = `m.conversation, m.account, m.role, m.joined_at, m.read, m.received`

func membershipFields(m *chat.Membership) []any {
	return []any{&m.Conversation, &m.User, &m.Role, &m.JoinedAt, &m.Read, &m.Received}
}

// memberships lists members whose names contain a folded text, by user id after the
// given one.
func memberships(ctx context.Context, q querier, id chat.ConversationID, fold string, after chat.UserID, limit int) ([]chat.Membership, error) {
	rows, err := q.Query(ctx, `SELECT `+membershipColumns+` FROM members m
		WHERE m.conversation = $1 AND m.role <> '' AND m.account > $2 AND ($4 = '' OR EXISTS (SELECT FROM users u
			WHERE u.id = m.account AND (position($4 IN u.name_fold) > 0 OR position($4 IN u.display_fold) > 0)))
		ORDER BY m.account LIMIT $3`, id, after, limit, fold)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (m chat.Membership, err error) {
		err = row.Scan(membershipFields(&m)...)
		m.JoinedAt = m.JoinedAt.UTC()
		return m, err
	})
}

// MembersOf lists members; see the contract.
func (s *Store) MembersOf(ctx context.Context, id chat.ConversationID, by chat.UserID, text string, after chat.UserID, limit int) ([]chat.Membership, error) {
	return read(ctx, s, "list members", func(ctx context.Context, q querier) ([]chat.Membership, error) {
		if _, _, err := readerRole(ctx, q, id, by); err != nil {
			return nil, err
		}
		return memberships(ctx, q, id, textfold.Query(text), after, max(limit, 0))
	})
}

// MemberIDs returns all members; see the contract.
func (s *Store) MemberIDs(ctx context.Context, id chat.ConversationID) ([]chat.UserID, int64, error) {
	var rev int64
	ids, err := read(ctx, s, "list members", func(ctx context.Context, q querier) ([]chat.UserID, error) {
		var ids []int64
		// One statement, so that the members are those of the rev.
		found, err := queryRow(ctx, q, []any{&rev, &ids}, `SELECT c.members_rev,
			(SELECT array_agg(m.account ORDER BY m.account) FROM members m WHERE m.conversation = c.id AND m.role <> '')
			FROM conversations c WHERE c.id = $1`, id)
		return userIDs(ids), notFound(found, err, "conversation")
	})
	if err != nil {
		return nil, 0, err
	}
	return ids, rev, nil
}

// ShareConversation reports which pairs share a conversation; see the contract.
func (s *Store) ShareConversation(ctx context.Context, pairs []store.UserPair) ([]bool, error) {
	users, others := make([]int64, len(pairs)), make([]int64, len(pairs))
	for i, p := range pairs {
		users[i], others[i] = int64(p.User), int64(p.Other)
	}
	return read(ctx, s, "find shared conversations", func(ctx context.Context, q querier) ([]bool, error) {
		// OFFSET 0 keeps the planner from joining all memberships with each other.
		rows, err := q.Query(ctx, `SELECT k.place - 1 FROM unnest($1::bigint[], $2::bigint[]) WITH ORDINALITY AS k (account, other, place)
			WHERE EXISTS (SELECT FROM members a JOIN members b ON b.account = k.other AND b.conversation = a.conversation AND b.role <> ''
				WHERE a.account = k.account AND a.role <> '' OFFSET 0)`, users, others)
		if err != nil {
			return nil, err
		}
		places, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		out := make([]bool, len(pairs))
		for _, place := range places {
			out[place] = true
		}
		return out, err
	})
}

// LockMembership reads a membership and the Seq of its conversation.
func (t *tx) LockMembership(id chat.ConversationID, user chat.UserID) (m chat.Membership, seq int64, err error) {
	found, err := t.queryRow(append(membershipFields(&m), &seq), `SELECT `+membershipColumns+`, c.seq FROM members m
		JOIN conversations c ON c.id = m.conversation WHERE m.account = $1 AND m.conversation = $2 AND m.role <> '' FOR NO KEY UPDATE OF m`, user, id)
	m.JoinedAt = m.JoinedAt.UTC()
	return m, seq, notFound(found, err, "conversation")
}

// SaveMarks stores the marks of a membership.
func (t *tx) SaveMarks(m chat.Membership, readMoved bool) error {
	_, err := t.exec(`UPDATE members SET received = $4, read = $3, marked = pg_current_xact_id(),
		change = CASE WHEN $5 THEN pg_current_xact_id() ELSE change END WHERE account = $1 AND conversation = $2`,
		m.User, m.Conversation, m.Read, m.Received, readMoved)
	return err
}
