package sqlite

import (
	"context"
	"slices"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/textfold"
)

// Role returns a user's role in a conversation, "" for a non-member.
func (t *tx) Role(id chat.ConversationID, user chat.UserID) (chat.Role, error) {
	c, err := t.requireConversation(id)
	if err != nil {
		return "", err
	}
	return t.role(c, user)
}

// NonMembers returns those of users who are not members.
func (t *tx) NonMembers(id chat.ConversationID, users []chat.UserID) (out []chat.UserID, err error) {
	for _, user := range users {
		role, err := t.Role(id, user)
		if err != nil {
			return nil, err
		}
		if role == "" && !slices.Contains(out, user) {
			out = append(out, user)
		}
	}
	return out, nil
}

// Memberships returns all members of a conversation.
func (t *tx) Memberships(id chat.ConversationID) ([]chat.Membership, error) {
	c, err := t.requireConversation(id)
	if err != nil {
		return nil, err
	}
	return memberships(t.conn, id, c.slot, "", 0, -1)
}

// CountOwners returns how many members are owners.
func (t *tx) CountOwners(id chat.ConversationID) (n int, err error) {
	c, err := t.requireConversation(id)
	if err != nil {
		return 0, err
	}
	_, err = t.conn.queryRow(`SELECT count(*) FROM members i INDEXED BY members_by_conversation JOIN members m ON m.user = i.user AND m.slot = i.slot
		WHERE i.slot = ? AND i.role <> '' AND m.role = ?`, func(r row) { n = int(r.int(0)) }, c.slot, chat.Owner)
	return n, err
}

// SaveMembers stores a change of membership.
func (t *tx) SaveMembers(m chat.MembersChange) error {
	c, err := t.requireConversation(m.Conversation.ID)
	if err != nil {
		return err
	}
	n, err := t.nextChange()
	if err != nil {
		return err
	}
	for i := range m.Put {
		p := &m.Put[i]
		if _, err := t.exec(`INSERT INTO members (user, slot, role, joined_at, read, received, change)
			VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
			ON CONFLICT (user, slot) DO UPDATE SET role = ?3, joined_at = ?4, read = ?5, received = ?6, change = ?7, marked = 0`,
			p.User, c.slot, p.Role, p.JoinedAt, p.Read, p.Received, n); err != nil {
			return err
		}
	}
	for _, r := range m.Roles {
		if _, err := t.exec(`UPDATE members SET role = ?, change = ? WHERE user = ? AND slot = ?`, r.Role, n, r.User, c.slot); err != nil {
			return err
		}
	}
	t.cache.remove(c.ID)
	_, err = t.exec(`UPDATE conversations SET rev = ?, members_rev = ?, members = ?, change = ? WHERE slot = ?`,
		m.Conversation.Rev, m.Conversation.MembersRev, m.Conversation.Members, n, c.slot)
	return err
}

// membershipColumns are the columns that scanMembership reads; m is the member.
const membershipColumns = `m.user, m.role, m.joined_at, m.read, m.received`

func scanMembership(id chat.ConversationID, r row) chat.Membership {
	return chat.Membership{
		Conversation: id, User: r.user(0), Role: chat.Role(r.text(1)), JoinedAt: r.time(2), Read: r.int(3), Received: r.int(4),
	}
}

// memberships lists members whose names contain a folded text, by user id after the
// given one; a negative limit means no limit.
func memberships(c *conn, id chat.ConversationID, slot int64, fold string, after chat.UserID, limit int) (out []chat.Membership, err error) {
	err = c.query(`SELECT `+membershipColumns+`
		FROM members i INDEXED BY members_by_conversation JOIN members m ON m.user = i.user AND m.slot = i.slot
		WHERE i.slot = ?1 AND i.role <> '' AND i.user > ?2 AND (?3 = '' OR EXISTS (SELECT 1 FROM users u
			WHERE u.id = i.user AND (instr(u.name_fold, ?3) > 0 OR instr(u.display_fold, ?3) > 0)))
		ORDER BY i.user LIMIT +?4`, func(r row) error {
		out = append(out, scanMembership(id, r))
		return nil
	}, slot, after, fold, limit)
	return out, err
}

// MembersOf lists members; see the contract.
func (s *Store) MembersOf(ctx context.Context, id chat.ConversationID, by chat.UserID, text string, after chat.UserID, limit int) ([]chat.Membership, error) {
	return read(ctx, s, "list members", func(c *conn) ([]chat.Membership, error) {
		v, err := conversationForReader(c, id, by)
		if err != nil {
			return nil, err
		}
		return memberships(c, id, v.slot, textfold.Query(text), after, max(limit, 0))
	})
}

type memberList struct {
	ids []chat.UserID
	rev int64
}

// MemberIDs returns all members; see the contract.
func (s *Store) MemberIDs(ctx context.Context, id chat.ConversationID) ([]chat.UserID, int64, error) {
	list, err := read(ctx, s, "list members", func(c *conn) (out memberList, err error) {
		of, slot, err := conversationByID(c, id)
		if err != nil {
			return out, err
		}
		out.rev, out.ids = of.MembersRev, make([]chat.UserID, 0, of.Members)
		err = c.query(`SELECT i.user FROM members i INDEXED BY members_by_conversation
			WHERE i.slot = ? AND i.role <> '' ORDER BY i.user`, func(r row) error {
			out.ids = append(out.ids, r.user(0))
			return nil
		}, slot)
		return out, err
	})
	return list.ids, list.rev, err
}

// ShareConversation reports which pairs share a conversation; see the contract.
func (s *Store) ShareConversation(ctx context.Context, pairs []store.UserPair) ([]bool, error) {
	return read(ctx, s, "find shared conversations", func(c *conn) ([]bool, error) {
		out := make([]bool, len(pairs))
		for i, p := range pairs {
			var err error
			out[i], err = c.queryRow(`SELECT 1 FROM members a JOIN members b ON b.user = ?2 AND b.slot = a.slot AND b.role <> ''
				WHERE a.user = ?1 AND a.role <> '' LIMIT 1`, func(row) {}, p.User, p.Other)
			if err != nil {
				return nil, err
			}
		}
		return out, nil
	})
}

// LockMembership reads a membership and the Seq of its conversation.
func (t *tx) LockMembership(id chat.ConversationID, user chat.UserID) (m chat.Membership, seq int64, err error) {
	c, _, err := t.conversationAsMember(id, user)
	if err != nil {
		return m, 0, err
	}
	_, err = t.conn.queryRow(`SELECT `+membershipColumns+` FROM members m WHERE m.user = ? AND m.slot = ?`,
		func(r row) { m = scanMembership(id, r) }, user, c.slot)
	return m, c.Seq, err
}

// SaveMarks stores the marks of a membership.
func (t *tx) SaveMarks(m chat.Membership, readMoved bool) error {
	c, err := t.requireConversation(m.Conversation)
	if err != nil {
		return err
	}
	n, err := t.nextChange()
	if err != nil {
		return err
	}
	if c.Members <= chat.SmallConversation {
		if _, err := t.exec(`UPDATE conversations SET marked = ? WHERE slot = ?`, n, c.slot); err != nil {
			return err
		}
	}
	if !readMoved {
		_, err = t.exec(`UPDATE members SET received = ?, marked = ? WHERE user = ? AND slot = ?`, m.Received, n, m.User, c.slot)
		return err
	}
	_, err = t.exec(`UPDATE members SET read = ?1, received = ?2, change = ?3, marked = ?3 WHERE user = ?4 AND slot = ?5`,
		m.Read, m.Received, n, m.User, c.slot)
	return err
}
