package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// enroll puts people into a conversation who are not in it. They see all that
// was said before but none of it counts as unread.
func (t *tx) enroll(c *locked, users []chat.UserID, role func(chat.UserID) chat.Role) (none store.Change, err error) {
	roles := make([]string, len(users))
	for i, user := range users {
		roles[i] = string(role(user))
	}
	if _, err := t.exec(`INSERT INTO members (account, conversation, role, joined_at, read, received, change)
		SELECT k.account, $2, k.role, $4, $5, $5, pg_current_xact_id() FROM unnest($1::bigint[], $3::text[]) AS k (account, role)
		ON CONFLICT (account, conversation) DO UPDATE SET role = excluded.role, joined_at = excluded.joined_at,
			read = excluded.read, received = excluded.received, change = excluded.change`,
		numbers(users), c.ID, roles, t.now(), c.Seq); err != nil {
		return none, err
	}
	out, err := t.membersChanged(c, len(users))
	out.Joined = users
	return out, err
}

// membersChanged gives a conversation its next rev for a change of membership
// that is written already.
func (t *tx) membersChanged(c *locked, more int) (none store.Change, err error) {
	c.Rev++
	c.MembersRev = c.Rev
	c.Members += more
	if _, err := t.exec(`UPDATE conversations SET rev = $2, members_rev = $2, members = $3, change = pg_current_xact_id() WHERE id = $1`,
		c.ID, c.Rev, c.Members); err != nil {
		return none, err
	}
	out, err := t.unchanged(c)
	out.Changed = true
	return out, err
}

func asMember(chat.UserID) chat.Role { return chat.Member }

// admit puts people in who are not in yet. Unknown and disabled ones are
// refused.
func (t *tx) admit(c *locked, users []chat.UserID) (none store.Change, err error) {
	rows, err := t.Query(t.ctx, `SELECT k.account FROM (SELECT account, min(n) AS n FROM unnest($1::bigint[]) WITH ORDINALITY AS u (account, n) GROUP BY account) k
		WHERE NOT EXISTS (SELECT FROM members m WHERE m.account = k.account AND m.conversation = $2 AND m.role <> '') ORDER BY k.n`,
		numbers(users), c.ID)
	if err != nil {
		return none, err
	}
	fresh, err := pgx.CollectRows(rows, pgx.RowTo[chat.UserID])
	if err != nil {
		return none, err
	}
	if ok, err := t.usable(fresh); err != nil || !ok {
		return none, notFound(ok, err, "account")
	}
	if len(fresh) == 0 {
		return t.unchanged(c)
	}
	if err := chat.CheckSize(c.Members + len(fresh)); err != nil {
		return none, err
	}
	return t.enroll(c, fresh, asMember)
}

// Join puts by into a public channel.
func (s *Store) Join(ctx context.Context, id chat.ConversationID, by chat.UserID) (store.Change, error) {
	return change(ctx, s, "join a channel", func(t *tx) (none store.Change, err error) {
		c, err := t.lock(id)
		if err != nil {
			return none, err
		}
		role, err := t.role(c, by)
		if err != nil {
			return none, err
		}
		if c.Kind != chat.Channel && !role.MayPost() {
			return none, chat.NotFound("conversation")
		}
		return t.admit(c, []chat.UserID{by})
	})
}

// AddMembers puts people in; who is in already is passed over.
func (s *Store) AddMembers(ctx context.Context, id chat.ConversationID, by chat.UserID, users []chat.UserID) (store.Change, error) {
	return change(ctx, s, "add members", func(t *tx) (none store.Change, err error) {
		c, role, err := t.as(id, by)
		if err != nil {
			return none, err
		}
		if err := chat.CheckInvite(c.Kind, role); err != nil {
			return none, err
		}
		return t.admit(c, users)
	})
}

// RemoveMember takes a person out; see the contract.
func (s *Store) RemoveMember(ctx context.Context, id chat.ConversationID, by, user chat.UserID) (store.Change, error) {
	return change(ctx, s, "remove a member", func(t *tx) (store.Change, error) { return t.remove(id, by, user) })
}

func (t *tx) remove(id chat.ConversationID, by, user chat.UserID) (none store.Change, err error) {
	c, actor, err := t.as(id, by)
	if err != nil {
		return none, err
	}
	role, err := t.role(c, user)
	if err != nil {
		return none, err
	}
	if err := chat.CheckRemove(c.Kind, actor, role, by == user); err != nil {
		return none, err
	}
	if err := t.setRole(c, user, ""); err != nil {
		return none, err
	}
	if role == chat.Owner {
		if err := t.succeed(c); err != nil {
			return none, err
		}
	}
	out, err := t.membersChanged(c, -1)
	out.Left = []chat.UserID{user}
	return out, err
}

func (t *tx) setRole(c *locked, user chat.UserID, role chat.Role) error {
	_, err := t.exec(`UPDATE members SET role = $3, change = pg_current_xact_id() WHERE account = $1 AND conversation = $2`, user, c.ID, role)
	return err
}

// succeed finds a new owner after one has gone.
func (t *tx) succeed(c *locked) error {
	rest, err := memberships(t.ctx, t.Tx, c.ID, 0, chat.MaxMembers)
	if err != nil {
		return err
	}
	heir, ok := chat.Successor(rest)
	if !ok {
		return nil
	}
	return t.setRole(c, heir, chat.Owner)
}

// SetRole changes what a member may do; see the contract.
func (s *Store) SetRole(ctx context.Context, id chat.ConversationID, by, user chat.UserID, role chat.Role) (store.Change, error) {
	return change(ctx, s, "change a role", func(t *tx) (none store.Change, err error) {
		c, actor, err := t.as(id, by)
		if err != nil {
			return none, err
		}
		from, err := t.role(c, user)
		if err != nil {
			return none, err
		}
		if err := chat.CheckSetRole(c.Kind, actor, from, role, func() (n int, err error) {
			_, err = t.one([]any{&n}, `SELECT count(*) FROM members WHERE conversation = $1 AND role = $2 AND role <> ''`, id, chat.Owner)
			return n, err
		}); err != nil {
			return none, err
		}
		if from == role {
			return t.unchanged(c)
		}
		if err := t.setRole(c, user, role); err != nil {
			return none, err
		}
		return t.membersChanged(c, 0)
	})
}

// membershipColumns are those of membershipFields, of a member m.
const membershipColumns = `m.conversation, m.account, m.role, m.joined_at, m.read, m.received`

func membershipFields(m *chat.Membership) []any {
	return []any{&m.Conversation, &m.User, &m.Role, &m.JoinedAt, &m.Read, &m.Received}
}

// memberships lists members by user id after the given one.
func memberships(ctx context.Context, q querier, id chat.ConversationID, after chat.UserID, limit int) ([]chat.Membership, error) {
	rows, err := q.Query(ctx, `SELECT `+membershipColumns+` FROM members m
		WHERE m.conversation = $1 AND m.role <> '' AND m.account > $2 ORDER BY m.account LIMIT $3`, id, after, limit)
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
func (s *Store) MembersOf(ctx context.Context, id chat.ConversationID, by, after chat.UserID, limit int) ([]chat.Membership, error) {
	return read(ctx, s, "list members", func(ctx context.Context, q querier) ([]chat.Membership, error) {
		if _, _, err := visit(ctx, q, id, by); err != nil {
			return nil, err
		}
		return memberships(ctx, q, id, after, max(limit, 0))
	})
}

// MemberIDs is every member; see the contract.
func (s *Store) MemberIDs(ctx context.Context, id chat.ConversationID) ([]chat.UserID, int64, error) {
	var rev int64
	ids, err := read(ctx, s, "list members", func(ctx context.Context, q querier) ([]chat.UserID, error) {
		var ids []int64
		// One statement, so that the members are those of the rev.
		found, err := one(ctx, q, []any{&rev, &ids}, `SELECT c.members_rev,
			(SELECT array_agg(m.account ORDER BY m.account) FROM members m WHERE m.conversation = c.id AND m.role <> '')
			FROM conversations c WHERE c.id = $1`, id)
		return userIDs(ids), notFound(found, err, "conversation")
	})
	if err != nil {
		return nil, 0, err
	}
	return ids, rev, nil
}

// Acquainted gives those who share a conversation with user.
func (s *Store) Acquainted(ctx context.Context, user chat.UserID, others []chat.UserID) ([]chat.UserID, error) {
	return read(ctx, s, "look for acquaintances", func(ctx context.Context, q querier) ([]chat.UserID, error) {
		rows, err := q.Query(ctx, `SELECT k.account FROM unnest($2::bigint[]) WITH ORDINALITY AS k (account, n)
			WHERE EXISTS (SELECT FROM members a JOIN members b ON b.account = k.account AND b.conversation = a.conversation AND b.role <> ''
				WHERE a.account = $1 AND a.role <> '') ORDER BY k.n`, user, numbers(others))
		if err != nil {
			return nil, err
		}
		return pgx.CollectRows(rows, pgx.RowTo[chat.UserID])
	})
}

type marked struct {
	membership chat.Membership
	moved      bool
}

// Mark moves by's marks forward; see the contract.
func (s *Store) Mark(ctx context.Context, id chat.ConversationID, by chat.UserID, readTo, received int64) (chat.Membership, bool, error) {
	out, err := change(ctx, s, "move a read mark", func(t *tx) (out marked, err error) {
		m := &out.membership
		var seq int64
		found, err := t.one(append(membershipFields(m), &seq), `SELECT `+membershipColumns+`, c.seq FROM members m
			JOIN conversations c ON c.id = m.conversation WHERE m.account = $1 AND m.conversation = $2 AND m.role <> '' FOR NO KEY UPDATE OF m`, by, id)
		if err := notFound(found, err, "conversation"); err != nil {
			return out, err
		}
		m.JoinedAt = m.JoinedAt.UTC()
		readTo, received := max(m.Read, min(readTo, seq)), max(m.Received, min(received, seq))
		if readTo == m.Read && received == m.Received {
			return out, nil
		}
		// A received mark alone changes nothing that the person's own
		// devices show.
		_, err = t.exec(`UPDATE members SET received = $4, read = $3,
			change = CASE WHEN read < $3 THEN pg_current_xact_id() ELSE change END WHERE account = $1 AND conversation = $2`, by, id, readTo, received)
		m.Read, m.Received, out.moved = readTo, received, true
		return out, err
	})
	return out.membership, out.moved, err
}
