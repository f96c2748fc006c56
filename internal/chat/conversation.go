package chat

import "time"

// Kind is the kind of a conversation.
type Kind string

// The kinds of conversations.
const (
	Direct  Kind = "direct"  // two users; one for each pair, for ever
	Group   Kind = "group"   // private, by invitation
	Channel Kind = "channel" // public: anyone can find and join it
)

// Role is the role of a member, which decides what the member may do.
type Role string

// The roles. Both users of a direct conversation are members.
const (
	Owner  Role = "owner"
	Admin  Role = "admin"
	Member Role = "member"
)

// Conversation is the part of a conversation that is the same for all members.
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

// Membership is the membership of one user in a conversation.
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
	Peer         UserID // the other user of a direct conversation, 0 in other conversations
	PeerRead     int64  // the peer's read mark
	PeerReceived int64  // the peer's received mark
	// OthersRead is the highest read mark that another member of a small group or
	// channel has moved since they joined; 0 in direct conversations.
	OthersRead int64
}

// Audience is the recipients of a change, as of the transaction that made it.
type Audience struct {
	Conversation ConversationID
	MembersRev   int64
	// Members are the recipients; nil when the conversation has more than
	// [SmallConversation] members and the change is sent to all gateways.
	Members []UserID
}

// Large reports whether the change is sent to all gateways, and not by recipient.
func (a Audience) Large() bool { return a.Members == nil }

// MayPost reports whether a member may send messages. It is false for "".
func (r Role) MayPost() bool { return r == Owner || r == Admin || r == Member }

// MayManage reports whether the role may rename, create links and remove members.
func (r Role) MayManage() bool { return r == Owner || r == Admin }

// MayInvite reports whether a member with the role may add others. In groups and
// channels every member may; nobody can be added to a direct conversation.
func MayInvite(k Kind, r Role) bool { return k != Direct && r.MayPost() }

// MayRemove reports whether actor may remove target: owners may remove anyone,
// admins may remove members.
func MayRemove(k Kind, actor, target Role) bool {
	switch {
	case k == Direct:
		return false
	case actor == Owner:
		return true
	}
	return actor == Admin && target == Member
}

// MaySetRole reports whether actor may change the role of a member: only owners
// may.
func MaySetRole(k Kind, actor, _, _ Role) bool { return k != Direct && actor == Owner }

// MayStepDown reports whether an owner may get a lesser role, given the number of
// owners: the last one may not. (One who leaves has a [Successor].)
func MayStepDown(owners int) bool { return owners > 1 }

// MayLeave reports whether members may leave: direct conversations cannot be left.
func MayLeave(k Kind) bool { return k != Direct }

// Successor picks the new owner of a conversation after its last owner has left:
// the admin who joined first, or, without admins, the member who did. members are
// those who remain; ok is false when there are none, or one is an owner.
func Successor(members []Membership) (successor UserID, ok bool) {
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

// CheckRename returns a refusal unless a member with the role may change title and
// topic.
func CheckRename(k Kind, r Role) error {
	if k == Direct || !r.MayManage() {
		return Refuse(CodeForbidden, "", "only who manages the conversation may rename it")
	}
	return nil
}

// CheckLinks returns a refusal unless a member with the role may create, list and
// delete links.
func CheckLinks(k Kind, r Role) error {
	if k == Direct || !r.MayManage() {
		return Refuse(CodeForbidden, "", "only who manages the conversation may handle its links")
	}
	return nil
}

// CheckInvite returns a refusal unless a member with the role may add others.
func CheckInvite(k Kind, r Role) error {
	if !MayInvite(k, r) {
		return Refuse(CodeForbidden, "", "nobody can be added to this conversation")
	}
	return nil
}

// CheckSize returns a refusal when a conversation would have too many members.
func CheckSize(members int) error {
	if members > MaxMembers {
		return Refuse(CodeTooLarge, "members", "a conversation may have %d members", MaxMembers)
	}
	return nil
}

// CheckRemove returns a refusal unless a member (actor) may remove another one
// (target, "" for none) from a conversation. leaves means that both are the same.
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

// CheckSetRole returns a refusal unless a member (actor) may change the role of
// another one from from ("" for none) to to. owners returns the number of owners;
// it is called only when an owner is to get a lesser role.
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
