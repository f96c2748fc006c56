package chat

import "time"

// MembersChange is a change of who is in a conversation, or of what they may
// do there: all that a store has to write.
type MembersChange struct {
	Conversation Conversation // after the change
	// Put are the memberships that begin. Who was in before, and left, starts
	// anew.
	Put []Membership
	// Roles are the memberships whose role changes;
	// "" ends one.
	Roles []RoleChange
}

// RoleChange gives a member another role.
type RoleChange struct {
	User UserID
	Role Role // "" for one who is no longer in
}

// Joined gives the people whose membership begins.
func (c *MembersChange) Joined() []UserID {
	var out []UserID
	for i := range c.Put {
		out = append(out, c.Put[i].User)
	}
	return out
}

// Left gives the people whose membership ends.
func (c *MembersChange) Left() []UserID {
	var out []UserID
	for _, r := range c.Roles {
		if r.Role == "" {
			out = append(out, r.User)
		}
	}
	return out
}

// InitialRole is the role with which someone starts in a new conversation.
// Who makes it owns it; a direct one has no owner.
func InitialRole(k Kind, maker bool) Role {
	if k != Direct && maker {
		return Owner
	}
	return Member
}

// CheckAccess refuses who is no member ("" for none): they may not know of the
// conversation.
func CheckAccess(r Role) error {
	if !r.MayPost() {
		return NotFound("conversation")
	}
	return nil
}

// CheckJoin refuses who may not come in without an invitation. A role other
// than "" is that of a member, for whom nothing changes.
func CheckJoin(k Kind, r Role) error {
	if k == Channel {
		return nil
	}
	return CheckAccess(r)
}

// membersChanged is the conversation after a change of membership: more people
// are in it (less, when negative), and it has its next Rev.
func (c Conversation) membersChanged(more int) Conversation {
	c.Rev++
	c.MembersRev = c.Rev
	c.Members += more
	return c
}

// AddMembers puts people in who are not in yet, each with the role that is given.
// They see all that was said before, but none of it counts as unread.
func (c Conversation) AddMembers(users []UserID, role func(UserID) Role, now time.Time) (MembersChange, error) {
	if err := CheckSize(c.Members + len(users)); err != nil {
		return MembersChange{}, err
	}
	out := MembersChange{Conversation: c.membersChanged(len(users)), Put: make([]Membership, len(users))}
	for i, user := range users {
		out.Put[i] = Membership{
			Conversation: c.ID, User: user, Role: role(user), JoinedAt: now.Truncate(time.Millisecond).UTC(),
			Read: c.Seq, Received: c.Seq,
		}
	}
	return out, nil
}

// Remove takes a member out, who may be among members: all who are in the
// conversation. They decide who owns it next, and are asked for only where the
// one who goes is an owner.
func (c Conversation) Remove(user UserID, role Role, members func() ([]Membership, error)) (MembersChange, error) {
	out := MembersChange{Conversation: c.membersChanged(-1), Roles: []RoleChange{{User: user}}}
	if role != Owner {
		return out, nil
	}
	all, err := members()
	if err != nil {
		return MembersChange{}, err
	}
	rest := make([]Membership, 0, len(all))
	for i := range all {
		if all[i].User != user {
			rest = append(rest, all[i])
		}
	}
	if heir, ok := Successor(rest); ok {
		out.Roles = append(out.Roles, RoleChange{User: heir, Role: Owner})
	}
	return out, nil
}

// SetRole gives a member another role.
func (c Conversation) SetRole(user UserID, role Role) MembersChange {
	return MembersChange{Conversation: c.membersChanged(0), Roles: []RoleChange{{User: user, Role: role}}}
}

// Advance moves the marks forward, never back and never past seq, the last
// message; zero leaves one as it is. It reports whether any has moved, and
// whether the read mark has: the other alone changes nothing that the member's
// own devices show.
func (m Membership) Advance(seq, read, received int64) (after Membership, moved, readMoved bool) {
	after = m
	after.Read = max(m.Read, min(read, seq))
	after.Received = max(m.Received, min(received, seq))
	readMoved = after.Read != m.Read
	return after, readMoved || after.Received != m.Received, readMoved
}

// Rename changes title and topic where they are not nil, for a member with the
// role. It reports whether anything is another than before.
func (c Conversation) Rename(r Role, title, topic *string) (after Conversation, changed bool, err error) {
	if err := CheckRename(c.Kind, r); err != nil {
		return c, false, err
	}
	after = c
	if title != nil {
		if after.Title, err = CleanTitle(*title); err != nil {
			return c, false, err
		}
	}
	if topic != nil {
		if after.Topic, err = CleanTopic(*topic); err != nil {
			return c, false, err
		}
	}
	if after.Title == c.Title && after.Topic == c.Topic {
		return c, false, nil
	}
	after.Rev++
	return after, true, nil
}
