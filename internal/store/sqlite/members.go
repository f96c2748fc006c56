package sqlite

import (
	"context"
	"slices"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// enroll puts people into a conversation who are not in it. They see all that
// was said before but none of it counts as unread.
func (t *tx) enroll(c *known, users []chat.UserID, role func(chat.UserID) chat.Role) (none store.Change, err error) {
	n, err := t.nextChange()
	if err != nil {
		return none, err
	}
	now := t.now()
	for _, user := range users {
		if _, err := t.exec(`INSERT INTO members (user, slot, role, joined_at, read, received, change)
			VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6)
			ON CONFLICT (user, slot) DO UPDATE SET role = ?3, joined_at = ?4, read = ?5, received = ?5, change = ?6`,
			user, c.slot, role(user), now, c.Seq, n); err != nil {
			return none, err
		}
	}
	out, err := t.membersChanged(c, n, len(users))
	out.Joined = users
	return out, err
}

// membersChanged gives a conversation its next rev for a change of membership
// that is written already, and reads it again.
func (t *tx) membersChanged(c *known, change int64, more int) (none store.Change, err error) {
	if _, err := t.exec(`UPDATE conversations SET rev = rev + 1, members_rev = rev + 1, members = members + ?, change = ?
		WHERE slot = ?`, more, change, c.slot); err != nil {
		return none, err
	}
	t.known.forget(c.ID)
	after, err := t.conversation(c.ID)
	if err != nil {
		return none, err
	}
	return store.Change{Conversation: after.Conversation, Audience: after.audience, Changed: true}, nil
}

func unchanged(c *known) store.Change {
	return store.Change{Conversation: c.Conversation, Audience: c.audience}
}

func asMember(chat.UserID) chat.Role { return chat.Member }

// admit puts people in who are not in yet. Unknown and disabled ones are
// refused.
func (t *tx) admit(c *known, users []chat.UserID) (none store.Change, err error) {
	var fresh []chat.UserID
	for _, user := range users {
		role, err := t.role(c, user)
		if err != nil {
			return none, err
		}
		if role.MayPost() || slices.Contains(fresh, user) {
			continue
		}
		if ok, err := t.usable(user); err != nil {
			return none, err
		} else if !ok {
			return none, chat.NotFound("account")
		}
		fresh = append(fresh, user)
	}
	if len(fresh) == 0 {
		return unchanged(c), nil
	}
	if err := chat.CheckSize(c.Members + len(fresh)); err != nil {
		return none, err
	}
	return t.enroll(c, fresh, asMember)
}

// Join puts by into a public channel.
func (s *Store) Join(ctx context.Context, id chat.ConversationID, by chat.UserID) (store.Change, error) {
	return change(ctx, s, "join a channel", func(t *tx) (none store.Change, err error) {
		c, err := t.conversation(id)
		if err != nil {
			return none, err
		}
		if c == nil {
			return none, chat.NotFound("conversation")
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
	n, err := t.nextChange()
	if err != nil {
		return none, err
	}
	if _, err := t.exec(`UPDATE members SET role = '', change = ? WHERE user = ? AND slot = ?`, n, user, c.slot); err != nil {
		return none, err
	}
	if role == chat.Owner {
		if err := t.succeed(c, n); err != nil {
			return none, err
		}
	}
	out, err := t.membersChanged(c, n, -1)
	out.Left = []chat.UserID{user}
	return out, err
}

// succeed finds a new owner after one has gone.
func (t *tx) succeed(c *known, change int64) error {
	rest, err := memberships(t.conn, c.ID, c.slot, 0, -1)
	if err != nil {
		return err
	}
	heir, ok := chat.Successor(rest)
	if !ok {
		return nil
	}
	_, err = t.exec(`UPDATE members SET role = ?, change = ? WHERE user = ? AND slot = ?`, chat.Owner, change, heir, c.slot)
	return err
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
		if err := chat.CheckSetRole(c.Kind, actor, from, role, func() (int, error) { return t.owners(c) }); err != nil {
			return none, err
		}
		if from == role {
			return unchanged(c), nil
		}
		n, err := t.nextChange()
		if err != nil {
			return none, err
		}
		if _, err := t.exec(`UPDATE members SET role = ?, change = ? WHERE user = ? AND slot = ?`, role, n, user, c.slot); err != nil {
			return none, err
		}
		return t.membersChanged(c, n, 0)
	})
}

func (t *tx) owners(c *known) (n int, err error) {
	all, err := memberships(t.conn, c.ID, c.slot, 0, -1)
	for i := range all {
		if all[i].Role == chat.Owner {
			n++
		}
	}
	return n, err
}

// membershipColumns are those that scanMembership reads, of a member m.
const membershipColumns = `m.user, m.role, m.joined_at, m.read, m.received`

func scanMembership(id chat.ConversationID, r row) chat.Membership {
	return chat.Membership{
		Conversation: id, User: r.user(0), Role: chat.Role(r.text(1)), JoinedAt: r.time(2), Read: r.int(3), Received: r.int(4),
	}
}

// memberships lists members by user id after the given one; a negative limit
// is none.
func memberships(c *conn, id chat.ConversationID, slot int64, after chat.UserID, limit int) (out []chat.Membership, err error) {
	err = c.query(`SELECT `+membershipColumns+`
		FROM members i INDEXED BY members_by_conversation JOIN members m ON m.user = i.user AND m.slot = i.slot
		WHERE i.slot = ? AND i.role <> '' AND i.user > ? ORDER BY i.user LIMIT +?`, func(r row) error {
		out = append(out, scanMembership(id, r))
		return nil
	}, slot, after, limit)
	return out, err
}

// MembersOf lists members; see the contract.
func (s *Store) MembersOf(ctx context.Context, id chat.ConversationID, by, after chat.UserID, limit int) ([]chat.Membership, error) {
	return read(ctx, s, "list members", func(c *conn) ([]chat.Membership, error) {
		v, err := visit(c, id, by)
		if err != nil {
			return nil, err
		}
		return memberships(c, id, v.slot, after, max(limit, 0))
	})
}

type memberList struct {
	ids []chat.UserID
	rev int64
}

// MemberIDs is every member; see the contract.
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

// Acquainted gives those who share a conversation with user.
func (s *Store) Acquainted(ctx context.Context, user chat.UserID, others []chat.UserID) ([]chat.UserID, error) {
	return read(ctx, s, "look for acquaintances", func(c *conn) (out []chat.UserID, err error) {
		for _, other := range others {
			found, err := c.one(`SELECT 1 FROM members a JOIN members b ON b.user = ?2 AND b.slot = a.slot AND b.role <> ''
				WHERE a.user = ?1 AND a.role <> '' LIMIT 1`, func(row) {}, user, other)
			if err != nil {
				return nil, err
			}
			if found {
				out = append(out, other)
			}
		}
		return out, nil
	})
}

type marked struct {
	membership chat.Membership
	moved      bool
}

// Mark moves by's marks forward; see the contract.
func (s *Store) Mark(ctx context.Context, id chat.ConversationID, by chat.UserID, readTo, received int64) (chat.Membership, bool, error) {
	out, err := change(ctx, s, "move a read mark", func(t *tx) (out marked, err error) {
		c, _, err := t.as(id, by)
		if err != nil {
			return out, err
		}
		if _, err := t.conn.one(`SELECT `+membershipColumns+` FROM members m WHERE m.user = ? AND m.slot = ?`,
			func(r row) { out.membership = scanMembership(id, r) }, by, c.slot); err != nil {
			return out, err
		}
		m := &out.membership
		readTo, received := max(m.Read, min(readTo, c.Seq)), max(m.Received, min(received, c.Seq))
		switch {
		case readTo == m.Read && received == m.Received:
			return out, nil
		case readTo == m.Read:
			// Nothing that the person's own devices show has changed.
			_, err = t.exec(`UPDATE members SET received = ? WHERE user = ? AND slot = ?`, received, by, c.slot)
		default:
			n, e := t.nextChange()
			if e != nil {
				return out, e
			}
			_, err = t.exec(`UPDATE members SET read = ?, received = ?, change = ? WHERE user = ? AND slot = ?`,
				readTo, received, n, by, c.slot)
		}
		m.Read, m.Received, out.moved = readTo, received, true
		return out, err
	})
	return out.membership, out.moved, err
}
