package chat

import "time"

// MembersChange is a change of the members of a conversation or of their roles. It
// has everything that a store has to write.
type MembersChange struct {
	Conversation Conversation // after the change
	// MembersRevBefore is the conversation's MembersRev before the change.
	MembersRevBefore int64
	// Put are the new memberships. They replace earlier memberships of users who
	// had left.
	Put []Membership
	// Roles are the changes of roles; "" ends a membership.
	Roles []RoleChange
}

// RoleChange is a change of a member's role.
type RoleChange struct {
	User UserID
	Role Role // "" for a member who left
}

// Joined returns the users whose membership begins.
func (c *MembersChange) Joined() []UserID {
	var out []UserID
	for i := range c.Put {
		out = append(out, c.Put[i].User)
	}
	return out
}

// Left returns the users whose membership ends.
func (c *MembersChange) Left() []UserID {
	var out []UserID
	for _, r := range c.Roles {
		if r.Role == "" {
			out = append(out, r.User)
		}
	}
	return out
}

// InitialRole returns the role of one of the first members of a conversation. Its
// creator is the owner; a direct conversation has no owner.
func InitialRole(k Kind, creator bool) Role {
	if k != Direct && creator {
		return Owner
	}
	return Member
}

// CheckAccess returns a refusal for non-members (role ""): they may not know of the
// conversation.
func CheckAccess(r Role) error {
	if !r.MayPost() {
		return NotFound("conversation")
	}
	return nil
}

// CheckJoin returns a refusal unless a user may join without an invitation: only
// channels allow it. Members (role not "") may call it; nothing changes for them.
func CheckJoin(k Kind, r Role) error {
	if k == Channel {
		return nil
	}
	return CheckAccess(r)
}

// membersChanged returns the conversation after a change of membership: it has the
// next Rev, and delta more members (less when negative).
func (c Conversation) membersChanged(delta int) Conversation {
	c.Rev++
	c.MembersRev = c.Rev
	c.Members += delta
	return c
}

// AddMembers adds users who are not members, each with the role that role returns.
// They can see all earlier messages, but none of these count as unread.
func (c Conversation) AddMembers(users []UserID, role func(UserID) Role, now time.Time) (MembersChange, error) {
	if err := CheckSize(c.Members + len(users)); err != nil {
		return MembersChange{}, err
	}
	out := MembersChange{Conversation: c.membersChanged(len(users)), MembersRevBefore: c.MembersRev, Put: make([]Membership, len(users))}
	for i, user := range users {
		out.Put[i] = Membership{
			Conversation: c.ID, User: user, Role: role(user), JoinedAt: now.Truncate(time.Millisecond).UTC(),
			Read: c.Seq, Received: c.Seq,
		}
	}
	return out, nil
}

// Remove removes a member. members returns all members of the conversation, from
// which a new owner is picked if needed; the removed user may be among them. It is
// called only when the removed member is an owner.
func (c Conversation) Remove(user UserID, role Role, members func() ([]Membership, error)) (MembersChange, error) {
	out := MembersChange{Conversation: c.membersChanged(-1), MembersRevBefore: c.MembersRev, Roles: []RoleChange{{User: user}}}
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
	if successor, ok := Successor(rest); ok {
		out.Roles = append(out.Roles, RoleChange{User: successor, Role: Owner})
	}
	return out, nil
}

// SetRole changes the role of a member.
func (c Conversation) SetRole(user UserID, role Role) MembersChange {
	return MembersChange{Conversation: c.membersChanged(0), MembersRevBefore: c.MembersRev, Roles: []RoleChange{{User: user, Role: role}}}
}

// Advance moves the marks forward, never back and never past seq, the last message.
// 0 leaves a mark unchanged. It reports whether any mark has moved, and whether the
// read mark has: the received mark alone changes nothing that the member's own
// devices show.
func (m Membership) Advance(seq, read, received int64) (after Membership, moved, readMoved bool) {
	after = m
	after.Read = max(m.Read, min(read, seq))
	after.Received = max(m.Received, min(received, seq))
	readMoved = after.Read != m.Read
	return after, readMoved || after.Received != m.Received, readMoved
}

// Rename changes title and topic if they are not nil, for a member with the role.
// It reports whether anything has changed.
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
