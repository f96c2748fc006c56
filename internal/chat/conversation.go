package chat

import "time"

// Kind is the sort of a conversation.
type Kind string

// The kinds of conversations.
const (
	Direct  Kind = "direct"  // two people; one per pair, for ever
	Group   Kind = "group"   // private, by invitation
	Channel Kind = "channel" // public: anyone can find and join it
)

// Role is what a member may do.
type Role string

// The roles. Both people of a direct conversation are members.
const (
	Owner  Role = "owner"
	Admin  Role = "admin"
	Member Role = "member"
)

// Conversation is what all its members see alike.
type Conversation struct {
	ID         ConversationID
	Kind       Kind
	Title      string // empty for a direct conversation
	Topic      string
	Seq        int64 // of the last message; 0 when there is none
	Rev        int64 // of the last change
	MembersRev int64 // Rev of the last change of membership
	Members    int   // how many
	CreatedAt  time.Time
	ActiveAt   time.Time // of the last message, or the creation
}

// Membership is one person's place in a conversation.
type Membership struct {
	Conversation ConversationID
	User         UserID
	Role         Role
	JoinedAt     time.Time
	Read         int64 // seq up to which the member has read; never goes back
	Received     int64 // seq up to which a device of the member has received
}

// Summary is a conversation as one of its members sees it in a list.
type Summary struct {
	Conversation
	Role         Role
	Read         int64 // the member's own read mark, as stored
	Unread       int64 // messages after the read mark and after the member's own last one
	Last         *Message
	Peer         UserID // the other person of a direct conversation, else 0
	PeerRead     int64  // the other person's read mark
	PeerReceived int64  // the other person's received mark
}

// Audience is who may receive a change, as of the transaction that made it.
type Audience struct {
	Conversation ConversationID
	MembersRev   int64
	// Members are the recipients; nil when the conversation has more than
	// [SmallConversation] members and is delivered by gateway.
	Members []UserID
}

// Large tells whether the change is delivered by gateway.
func (a Audience) Large() bool { return a.Members == nil }

// MayPost tells whether a member may send messages.
func (r Role) MayPost() bool { return r == Owner || r == Admin || r == Member }

// MayManage tells whether the role may rename, make links and remove members.
func (r Role) MayManage() bool { return r == Owner || r == Admin }

// MayInvite tells whether a member with the role may bring others in. In a
// group and in a channel every member may; a direct conversation is closed.
func MayInvite(k Kind, r Role) bool { return k != Direct && r.MayPost() }

// MayRemove tells whether actor may remove target: owners remove anyone,
// admins remove members.
func MayRemove(k Kind, actor, target Role) bool {
	switch {
	case k == Direct:
		return false
	case actor == Owner:
		return true
	}
	return actor == Admin && target == Member
}

// MaySetRole tells whether actor may change a member from one role to
// another: owners alone do.
func MaySetRole(k Kind, actor, _, _ Role) bool { return k != Direct && actor == Owner }

// MayStepDown tells whether an owner may take a lesser role, given how many
// owners there are: the last one may not. (One who leaves has a [Successor].)
func MayStepDown(owners int) bool { return owners > 1 }

// MayLeave tells whether a member may leave: not out of a direct conversation.
func MayLeave(k Kind) bool { return k != Direct }

// Successor picks who owns a conversation after its last owner has left: the
// admin, else the member, who has been in it for the longest time. members
// are those who remain; ok is false when nobody does.
func Successor(members []Membership) (heir UserID, ok bool) {
	var best *Membership
	for i := range members {
		m := &members[i]
		if m.Role == Owner {
			return 0, false // it still has one
		}
		if best == nil || precedes(m, best) {
			best = m
		}
	}
	if best == nil {
		return 0, false
	}
	return best.User, true
}

func precedes(a, b *Membership) bool {
	if (a.Role == Admin) != (b.Role == Admin) {
		return a.Role == Admin
	}
	if !a.JoinedAt.Equal(b.JoinedAt) {
		return a.JoinedAt.Before(b.JoinedAt)
	}
	return a.User < b.User
}

// CheckRename tells whether a member with the role may change title and topic.
func CheckRename(k Kind, r Role) error {
	if k == Direct || !r.MayManage() {
		return Refuse(CodeForbidden, "", "only who manages the conversation may rename it")
	}
	return nil
}

// CheckLinks tells whether a member with the role may make, see and end links.
func CheckLinks(k Kind, r Role) error {
	if k == Direct || !r.MayManage() {
		return Refuse(CodeForbidden, "", "only who manages the conversation may handle its links")
	}
	return nil
}

// CheckInvite tells whether a member with the role may bring others in.
func CheckInvite(k Kind, r Role) error {
	if !MayInvite(k, r) {
		return Refuse(CodeForbidden, "", "nobody can be added to this conversation")
	}
	return nil
}

// CheckSize tells whether a conversation may have so many members.
func CheckSize(members int) error {
	if members > MaxMembers {
		return Refuse(CodeTooLarge, "members", "a conversation may have %d members", MaxMembers)
	}
	return nil
}

// CheckRemove tells whether a member (actor) may take another one (target, ""
// for none) out of a conversation; leaves says that the two are the same.
func CheckRemove(k Kind, actor, target Role, leaves bool) error {
	switch {
	case leaves && !MayLeave(k):
		return Refuse(CodeForbidden, "", "a direct conversation cannot be left")
	case !target.MayPost():
		return NotFound("member")
	case !leaves && !MayRemove(k, actor, target):
		return Refuse(CodeForbidden, "", "you may not remove this member")
	}
	return nil
}

// CheckSetRole tells whether a member (actor) may change another's role from
// one ("" for none) to another. owners counts them; it is called only when an
// owner is to become less.
func CheckSetRole(k Kind, actor, from, to Role, owners func() (int, error)) error {
	switch {
	case !to.MayPost():
		return Refuse(CodeInvalid, "role", "there is no such role")
	case !MaySetRole(k, actor, from, to):
		return Refuse(CodeForbidden, "", "only owners may change roles")
	case !from.MayPost():
		return NotFound("member")
	case from != Owner || to == Owner:
		return nil
	}
	n, err := owners()
	if err != nil {
		return err
	}
	if !MayStepDown(n) {
		return Refuse(CodeForbidden, "role", "make someone else an owner first")
	}
	return nil
}
