package storetx

import (
	"context"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// lockAsMember locks a conversation for a member and returns the member's role.
// A user who is not a member may not see it: CodeNotFound.
func lockAsMember(t Tx, id chat.ConversationID, by chat.UserID) (c chat.Conversation, role chat.Role, err error) {
	if c, err = t.LockConversation(id); err != nil {
		return c, "", err
	}
	if role, err = t.Role(id, by); err != nil {
		return c, "", err
	}
	return c, role, chat.CheckAccess(role)
}

// changed returns the result of a change of a conversation.
func changed(t Tx, c chat.Conversation) (store.Change, error) {
	out, err := unchanged(t, c)
	out.Changed = true
	return out, err
}

// unchanged returns the result of a call that had nothing to change.
func unchanged(t Tx, c chat.Conversation) (store.Change, error) {
	a, err := t.Audience(c)
	return store.Change{Conversation: c, Audience: a}, err
}

// saveMembers stores a change of membership.
func saveMembers(t Tx, m chat.MembersChange) (store.Change, error) {
	if err := t.SaveMembers(m); err != nil {
		return store.Change{}, err
	}
	out, err := changed(t, m.Conversation)
	out.Joined, out.Left, out.MembersRevBefore = m.Joined(), m.Left(), m.MembersRevBefore
	return out, err
}

func roleMember(chat.UserID) chat.Role { return chat.Member }

// addMembers adds users who are not members yet. Unknown and disabled ones are
// refused.
func addMembers(t Tx, c chat.Conversation, users []chat.UserID) (none store.Change, err error) {
	fresh, err := t.NonMembers(c.ID, users)
	if err != nil {
		return none, err
	}
	if len(fresh) == 0 {
		return unchanged(t, c)
	}
	if ok, err := t.AccountsEnabled(fresh); err != nil {
		return none, err
	} else if !ok {
		return none, chat.NotFound("account")
	}
	m, err := c.AddMembers(fresh, roleMember, t.Now())
	if err != nil {
		return none, err
	}
	return saveMembers(t, m)
}

// Join adds by to a public channel.
func (c Commands) Join(ctx context.Context, id chat.ConversationID, by chat.UserID) (store.Change, error) {
	return run(ctx, c, "join a channel", func(t Tx) (none store.Change, err error) {
		c, err := t.LockConversation(id)
		if err != nil {
			return none, err
		}
		role, err := t.Role(id, by)
		if err != nil {
			return none, err
		}
		if err := chat.CheckJoin(c.Kind, role); err != nil {
			return none, err
		}
		return addMembers(t, c, []chat.UserID{by})
	})
}

// AddMembers adds users; those who are members already are ignored.
func (c Commands) AddMembers(ctx context.Context, id chat.ConversationID, by chat.UserID, users []chat.UserID) (store.Change, error) {
	return run(ctx, c, "add members", func(t Tx) (none store.Change, err error) {
		c, role, err := lockAsMember(t, id, by)
		if err != nil {
			return none, err
		}
		if err := chat.CheckInvite(c.Kind, role); err != nil {
			return none, err
		}
		return addMembers(t, c, users)
	})
}

// RemoveMember removes a member; see the contract.
func (c Commands) RemoveMember(ctx context.Context, id chat.ConversationID, by, user chat.UserID) (store.Change, error) {
	return run(ctx, c, "remove a member", func(t Tx) (store.Change, error) { return removeMember(t, id, by, user) })
}

// removeMember removes a member, as part of a larger change.
func removeMember(t Tx, id chat.ConversationID, by, user chat.UserID) (none store.Change, err error) {
	c, actor, role, err := lockActorAndTarget(t, id, by, user)
	if err != nil {
		return none, err
	}
	if err := chat.CheckRemove(c.Kind, actor, role, by == user); err != nil {
		return none, err
	}
	m, err := c.Remove(user, role, func() ([]chat.Membership, error) { return t.Memberships(id) })
	if err != nil {
		return none, err
	}
	return saveMembers(t, m)
}

// lockActorAndTarget locks a conversation for a member who acts on a user, and
// returns the roles of both.
func lockActorAndTarget(t Tx, id chat.ConversationID, by, user chat.UserID) (c chat.Conversation, actor, role chat.Role, err error) {
	c, actor, err = lockAsMember(t, id, by)
	if err != nil || by == user {
		return c, actor, actor, err
	}
	role, err = t.Role(id, user)
	return c, actor, role, err
}

// SetRole changes the role of a member; see the contract.
func (c Commands) SetRole(ctx context.Context, id chat.ConversationID, by, user chat.UserID, role chat.Role) (store.Change, error) {
	return run(ctx, c, "change a role", func(t Tx) (none store.Change, err error) {
		c, actor, from, err := lockActorAndTarget(t, id, by, user)
		if err != nil {
			return none, err
		}
		if err := chat.CheckSetRole(c.Kind, actor, from, role, func() (int, error) { return t.CountOwners(id) }); err != nil {
			return none, err
		}
		if from == role {
			return unchanged(t, c)
		}
		return saveMembers(t, c.SetRole(user, role))
	})
}

type markResult struct {
	membership chat.Membership
	moved      bool
}

// Mark moves by's marks forward; see the contract.
func (c Commands) Mark(ctx context.Context, id chat.ConversationID, by chat.UserID, read, received int64) (chat.Membership, bool, error) {
	out, err := run(ctx, c, "move a read mark", func(t Tx) (out markResult, err error) {
		m, seq, err := t.LockMembership(id, by)
		if err != nil {
			return out, err
		}
		var readMoved bool
		out.membership, out.moved, readMoved = m.Advance(seq, read, received)
		if !out.moved {
			return out, nil
		}
		return out, t.SaveMarks(out.membership, readMoved)
	})
	return out.membership, out.moved, err
}
