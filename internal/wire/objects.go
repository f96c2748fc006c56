package wire

import (
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

// Millis is a time in milliseconds since 1970 (UTC); 0 stands for none.
type Millis int64

// MillisOf returns t in milliseconds, 0 for the zero time.
func MillisOf(t time.Time) Millis {
	if t.IsZero() {
		return 0
	}
	return Millis(t.UnixMilli())
}

// Time returns the time in UTC, the zero time for 0.
func (m Millis) Time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(m)).UTC()
}

// User is an account as others see it.
type User struct {
	ID          chat.UserID `json:"id"`
	Name        string      `json:"name" doc:"unique name, for mentions and for logging in"`
	DisplayName string      `json:"display_name"`
	Admin       bool        `json:"admin,omitempty" doc:"administers the installation"`
	Disabled    bool        `json:"disabled,omitempty"`
}

// UserOf returns the JSON form of u.
func UserOf(u chat.User) User {
	return User{ID: u.ID, Name: u.Name, DisplayName: u.DisplayName, Admin: u.Admin, Disabled: u.Disabled}
}

// Message is a message as it is stored. One that was deleted is a tombstone:
// deleted_at is set and body is empty.
type Message struct {
	Conversation chat.ConversationID `json:"conversation"`
	Seq          int64               `json:"seq" doc:"place in the conversation: 1, 2, 3 … without a hole"`
	Rev          int64               `json:"rev" doc:"the change of the conversation that gave the message this form"`
	ID           chat.MessageID      `json:"id"`
	Sender       chat.UserID         `json:"sender"`
	ClientID     chat.ClientID       `json:"client_id" doc:"the name that the sender's device gave it (UUIDv7)"`
	Body         string              `json:"body" doc:"Markdown"`
	ReplyTo      int64               `json:"reply_to,omitempty" doc:"seq of the message that it answers"`
	At           Millis              `json:"at"`
	EditedAt     Millis              `json:"edited_at,omitempty"`
	DeletedAt    Millis              `json:"deleted_at,omitempty"`
}

// MessageOf returns the JSON form of m.
func MessageOf(m *chat.Message) Message {
	return Message{
		Conversation: m.Conversation, Seq: m.Seq, Rev: m.Rev, ID: m.ID, Sender: m.Sender,
		ClientID: m.ClientID, Body: m.Body, ReplyTo: m.ReplyTo,
		At: MillisOf(m.At), EditedAt: MillisOf(m.EditedAt), DeletedAt: MillisOf(m.DeletedAt),
	}
}

// MessagesOf returns the JSON forms of a page, never nil.
func MessagesOf(page []chat.Message) []Message {
	out := make([]Message, len(page))
	for i := range page {
		out[i] = MessageOf(&page[i])
	}
	return out
}

// Conversation is the part of a conversation that is the same for all members.
type Conversation struct {
	ID         chat.ConversationID `json:"id"`
	Kind       chat.Kind           `json:"kind" enum:"direct,group,channel"`
	Title      string              `json:"title" doc:"empty for a direct conversation"`
	Topic      string              `json:"topic,omitempty"`
	Seq        int64               `json:"seq" doc:"of the last message, 0 for none"`
	Rev        int64               `json:"rev" doc:"of the last change: message, edit, delete, name or membership"`
	MembersRev int64               `json:"members_rev" doc:"rev of the last change of membership"`
	Members    int                 `json:"members" doc:"how many members it has"`
	CreatedAt  Millis              `json:"created_at"`
	ActiveAt   Millis              `json:"active_at" doc:"time of the last message, or of the creation"`
}

// ConversationOf returns the JSON form of c.
func ConversationOf(c chat.Conversation) Conversation {
	return Conversation{
		ID: c.ID, Kind: c.Kind, Title: c.Title, Topic: c.Topic, Seq: c.Seq, Rev: c.Rev,
		MembersRev: c.MembersRev, Members: c.Members,
		CreatedAt: MillisOf(c.CreatedAt), ActiveAt: MillisOf(c.ActiveAt),
	}
}

// Summary is a conversation as one of its members sees it.
type Summary struct {
	Conversation
	Role         chat.Role `json:"role" enum:"owner,admin,member"`
	Read         int64     `json:"read" doc:"seq up to which the member has read"`
	Unread       int64     `json:"unread" doc:"messages after the read mark and after the member's own last one"`
	Last         *Preview  `json:"last,omitempty" doc:"the last message, of a long text the beginning"`
	Peer         *User     `json:"peer,omitempty" doc:"the other person of a direct conversation"`
	PeerRead     int64     `json:"peer_read,omitempty" doc:"seq up to which the other person has read"`
	PeerReceived int64     `json:"peer_received,omitempty" doc:"seq up to which a device of the other person has received"`
	OthersRead   int64     `json:"others_read,omitempty" doc:"in a group or channel of up to 64 members, the highest seq up to which one of the others has read since they joined; 0 when nobody has"`
}

// SummaryOf returns the JSON form of s; peer is the other user of a direct
// conversation, nil in other conversations.
func SummaryOf(s *chat.Summary, peer *chat.User) Summary {
	out := Summary{
		Conversation: ConversationOf(s.Conversation), Role: s.Role, Read: s.Read, Unread: s.Unread,
		PeerRead: s.PeerRead, PeerReceived: s.PeerReceived, OthersRead: s.OthersRead,
	}
	if s.Last != nil {
		last := PreviewOf(s.Last)
		out.Last = &last
	}
	if peer != nil {
		u := UserOf(*peer)
		out.Peer = &u
	}
	return out
}

// Member is a member of a conversation.
type Member struct {
	User     User      `json:"user"`
	Role     chat.Role `json:"role" enum:"owner,admin,member"`
	JoinedAt Millis    `json:"joined_at"`
	Read     int64     `json:"read" doc:"seq up to which the member has read; 0 in conversations too large to show it"`
}

// PresenceState is the presence of a user.
type PresenceState struct {
	User     chat.UserID   `json:"user"`
	State    chat.Presence `json:"state" enum:"online,away,offline"`
	LastSeen Millis        `json:"last_seen,omitempty" doc:"when the last device went away"`
}
