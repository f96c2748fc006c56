// Package store is the port to what must outlive every process: accounts,
// conversations, messages. SQLite (package sqlite) keeps it for a system in
// one process, PostgreSQL for a cluster; both pass package storetest.
//
// # The promises of a store
//
//   - Durable: when a method that changes something returns nil, the change
//     survives the death of the process and of the machine (fsync).
//   - Atomic: a method changes all that it says, or nothing.
//   - Rules live in package chat: what a rule needs is loaded, the rule is
//     asked, and its verdict is kept. Package storetx does so for all backends;
//     a backend decides nothing itself.
//   - One order: Seq and Rev of a conversation are given in the transaction
//     that stores, guarded by unique keys. Changes of one conversation are
//     serialised, whoever asks for them.
//   - Concurrent: every method may be called by any number of goroutines.
//   - Errors: a refusal that a person may see is a *chat.Error. Everything
//     else is trouble of the store; [ErrUnavailable] is in its chain when the
//     same call may succeed later.
//   - Reads see every change whose method has returned before they began.
//
// Times are kept to the millisecond, in UTC.
package store

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

// ErrUnavailable is in the chain of errors that may pass: try again later.
var ErrUnavailable = errors.New("the store is unavailable")

// ErrPoison is in the chain of errors that the input caused by itself: the same
// call will never succeed, and others may.
var ErrPoison = errors.New("the store cannot keep this")

// Store is all of the port. Users of it ask for the part that they need.
type Store interface {
	Accounts
	Sessions
	Invitations
	Conversations
	Members
	Links
	Messages
	Feed
	Pushes
	Batches

	// Ping tells whether the store answers and can be written to.
	Ping(ctx context.Context) error
	// Secret is 32 random bytes made with the installation; they key what is
	// handed out to clients and must come back unchanged (cursors).
	Secret() []byte
	// Close waits for writes in flight and closes. It is idempotent.
	Close() error
}

// NewUser is an account to be made. Name and Skeleton come from package username.
type NewUser struct {
	Name        string // canonical and unique
	Skeleton    string // what Name looks like; unique as well
	DisplayName string
	Password    string // encoded hash, see package password; "" cannot log in
	Admin       bool   // the first account is made admin in any case
}

// Accounts keeps who exists.
type Accounts interface {
	// CreateUser refuses with CodeNameTaken when Name or Skeleton is in use.
	// The very first account becomes admin, decided in the transaction, so
	// that of two first registrations one does. invitation is the hash of the
	// invitation that pays for it, nil for none; an invitation that is unknown,
	// expired or used up is refused with CodeForbidden.
	CreateUser(ctx context.Context, u NewUser, invitation []byte) (chat.User, error)
	// CountUsers is how many accounts there are.
	CountUsers(ctx context.Context) (int, error)
	// Users finds accounts by id; unknown ones are left out.
	Users(ctx context.Context, ids []chat.UserID) ([]chat.User, error)
	// Credentials finds an account and its password hash by canonical name;
	// CodeNotFound when there is none. A disabled one is found, and says so.
	Credentials(ctx context.Context, name string) (u chat.User, password string, err error)
	// SearchUsers lists accounts that are not disabled whose name or display
	// name contains the text (caseless), ordered by name, after the name given.
	SearchUsers(ctx context.Context, text, after string, limit int) ([]chat.User, error)
	// AllUsers lists every account, disabled ones too, ordered by name, after
	// the name given.
	AllUsers(ctx context.Context, after string, limit int) ([]chat.User, error)
	// UpdateUser changes what is not nil.
	UpdateUser(ctx context.Context, id chat.UserID, c UserChange) (chat.User, error)
	// SetLastSeen records when a user's last device went away; it never goes back.
	SetLastSeen(ctx context.Context, id chat.UserID, at time.Time) error
}

// UserChange is a change to an account; nil leaves a value as it is.
type UserChange struct {
	DisplayName *string
	Password    *string
	Admin       *bool
	Disabled    *bool // true also ends all of the account's sessions
}

// Session is a logged-in device.
type Session struct {
	ID        chat.SessionID
	User      chat.UserID
	Token     []byte // hash of the token, never the token
	Device    string // what the device calls itself
	CreatedAt time.Time
	SeenAt    time.Time
	ExpiresAt time.Time
}

// Sessions keeps who is logged in.
type Sessions interface {
	// CreateSession logs a device in and gives the session its id. An unknown
	// or disabled account is refused with CodeNotFound.
	CreateSession(ctx context.Context, s Session) (chat.SessionID, error)
	// SessionByToken finds a session that has not expired, with its account.
	// Sessions of disabled accounts are not found: CodeUnauthenticated.
	SessionByToken(ctx context.Context, token []byte, now time.Time) (Session, chat.User, error)
	// SessionsOf lists those that have not expired, newest first.
	SessionsOf(ctx context.Context, user chat.UserID) ([]Session, error)
	// TouchSession records use; it may be lost when the process dies. The
	// latest use wins, and a session that has ended is passed over.
	TouchSession(ctx context.Context, id chat.SessionID, seen, expires time.Time) error
	// DeleteSessions ends the given sessions of user, or all but keep when
	// ids is nil, and tells which it ended.
	DeleteSessions(ctx context.Context, user chat.UserID, ids []chat.SessionID, keep chat.SessionID) ([]chat.SessionID, error)
}

// Invitation lets people register, or (as a [Link]) join a conversation.
type Invitation struct {
	ID        int64
	Token     []byte // hash of the token, never the token
	CreatedBy chat.UserID
	CreatedAt time.Time
	ExpiresAt time.Time
	MaxUses   int // 0 for any number
	Uses      int
}

// Usable tells whether the invitation still opens at the given time.
func (i Invitation) Usable(now time.Time) bool {
	return now.Before(i.ExpiresAt) && (i.MaxUses == 0 || i.Uses < i.MaxUses)
}

// Issued is the invitation as it is kept when it is made, under its id.
func (i Invitation) Issued(id int64) Invitation {
	i.ID, i.Uses = id, 0
	i.CreatedAt, i.ExpiresAt = i.CreatedAt.Truncate(time.Millisecond).UTC(), i.ExpiresAt.Truncate(time.Millisecond).UTC()
	return i
}

// Invitations keeps who may register.
type Invitations interface {
	CreateInvitation(ctx context.Context, i Invitation) (Invitation, error)
	// Invitations lists those that can still be used, newest first.
	Invitations(ctx context.Context, now time.Time) ([]Invitation, error)
	DeleteInvitation(ctx context.Context, id int64) error
}

// Change is what a change to a conversation leaves to announce.
type Change struct {
	Conversation chat.Conversation // after the change
	Audience     chat.Audience     // the members after the change
	// Changed is false when everything was so already; nothing is announced.
	Changed bool
	// Joined and Left are the people whose membership began or ended.
	Joined, Left []chat.UserID
}

// NewConversation is a conversation to be made. Its maker owns it.
type NewConversation struct {
	Kind    chat.Kind
	Title   string
	Topic   string
	By      chat.UserID
	Members []chat.UserID // besides By; exactly one for a direct conversation
}

// People are all who are to be in the conversation, ascending.
func (n NewConversation) People() []chat.UserID {
	return slices.Compact(slices.Sorted(slices.Values(append([]chat.UserID{n.By}, n.Members...))))
}

// Clean gives the conversation as it is kept. members is how many people it is
// to have, its maker among them.
func (n NewConversation) Clean(members int) (_ NewConversation, err error) {
	switch n.Kind {
	case chat.Direct:
		if members != 2 {
			return n, chat.Refuse(chat.CodeInvalid, "members", "a direct conversation is between two people")
		}
		n.Title, n.Topic = "", ""
		return n, nil
	case chat.Group, chat.Channel:
	default:
		return n, chat.Refuse(chat.CodeInvalid, "kind", "there is no such kind of conversation")
	}
	if err := chat.CheckSize(members); err != nil {
		return n, err
	}
	if n.Title, err = chat.CleanTitle(n.Title); err != nil {
		return n, err
	}
	n.Topic, err = chat.CleanTopic(n.Topic)
	return n, err
}

// Conversations keeps which conversations exist. by is always the person who
// asks: where they may not know of the conversation, the refusal is
// CodeNotFound; where they may not do it, CodeForbidden.
type Conversations interface {
	// CreateConversation makes one. A direct conversation that exists for the
	// pair already is returned with Changed false. Unknown or disabled people
	// are refused with CodeNotFound.
	CreateConversation(ctx context.Context, c NewConversation) (Change, error)
	// Conversation is one of by's conversations as by sees it.
	Conversation(ctx context.Context, id chat.ConversationID, by chat.UserID) (chat.Summary, error)
	// UpdateConversation changes title and topic where they are not nil.
	UpdateConversation(ctx context.Context, id chat.ConversationID, by chat.UserID, title, topic *string) (Change, error)
	// Channels lists public channels whose title or topic contains the text
	// (caseless), ordered by title and id, after the given ones. member tells
	// for each whether by is in it.
	Channels(ctx context.Context, by chat.UserID, text, afterTitle string, after chat.ConversationID, limit int) (channels []chat.Conversation, member []bool, err error)
	// Audience is who may receive what is not stored, such as typing. It is
	// CodeNotFound for a conversation that does not exist.
	Audience(ctx context.Context, id chat.ConversationID) (chat.Audience, error)
}

// Members keeps who is in which conversation. Who comes in, or back, sees the
// whole history, and has read all of it.
type Members interface {
	// Join puts by into a public channel.
	Join(ctx context.Context, id chat.ConversationID, by chat.UserID) (Change, error)
	// AddMembers puts people in; who is in already is passed over.
	AddMembers(ctx context.Context, id chat.ConversationID, by chat.UserID, users []chat.UserID) (Change, error)
	// RemoveMember takes a person out; by and user are the same when one
	// leaves. When the last owner goes, chat.Successor takes over.
	RemoveMember(ctx context.Context, id chat.ConversationID, by, user chat.UserID) (Change, error)
	// SetRole changes what a member may do. The last owner stays one.
	SetRole(ctx context.Context, id chat.ConversationID, by, user chat.UserID, role chat.Role) (Change, error)
	// MembersOf lists members by user id, after the given one.
	MembersOf(ctx context.Context, id chat.ConversationID, by, after chat.UserID, limit int) ([]chat.Membership, error)
	// MemberIDs is every member, ascending, with the MembersRev that it is of.
	MemberIDs(ctx context.Context, id chat.ConversationID) ([]chat.UserID, int64, error)
	// SharesConversation gives those of others who share a conversation with user;
	// only they may be watched for presence.
	SharesConversation(ctx context.Context, user chat.UserID, others []chat.UserID) ([]chat.UserID, error)
	// Mark moves by's marks forward, never back and never past the last
	// message; zero leaves one as it is. It returns the marks as they are now
	// and whether any has moved.
	Mark(ctx context.Context, id chat.ConversationID, by chat.UserID, read, received int64) (m chat.Membership, moved bool, err error)
}

// Link lets whoever holds it join a conversation.
type Link struct {
	Invitation
	Conversation chat.ConversationID
}

// Links keeps invitation links to conversations. Who manages a conversation
// makes, sees and ends them.
type Links interface {
	CreateLink(ctx context.Context, l Link) (Link, error)
	LinksOf(ctx context.Context, id chat.ConversationID, by chat.UserID, now time.Time) ([]Link, error)
	DeleteLink(ctx context.Context, id chat.ConversationID, by chat.UserID, link int64) error
	// LinkByToken is where a usable link leads, for whoever holds it.
	LinkByToken(ctx context.Context, token []byte, now time.Time) (chat.Conversation, error)
	// JoinByLink puts by in and counts the use; a member already costs none,
	// and is not told when the link has ended since. For others a link that is
	// unknown, expired or used up is CodeNotFound.
	JoinByLink(ctx context.Context, token []byte, by chat.UserID, now time.Time) (Change, error)
}

// Edited is a changed message and who may know.
type Edited struct {
	Message  chat.Message
	Audience chat.Audience
	Changed  bool // false when it was so already
}

// SendKey names a send for ever.
type SendKey struct {
	Sender   chat.UserID
	ClientID chat.ClientID
}

// Messages keeps what was said.
type Messages interface {
	// FindByClientID finds what was stored under names. A message whose text is gone
	// for good is given as a tombstone.
	FindByClientID(ctx context.Context, keys []SendKey) (map[SendKey]*chat.Message, error)

	// Append stores a batch in one transaction, in its order, and gives an
	// outcome for each submission, at the same index. Submissions that repeat
	// a client id, in the batch or from years ago, are duplicates or
	// conflicts. An error means that nothing of the batch was stored and that
	// the same batch may be tried again.
	Append(ctx context.Context, batch []chat.Submission) ([]chat.Outcome, error)
	EditMessage(ctx context.Context, id chat.ConversationID, seq int64, by chat.UserID, body string) (Edited, error)
	DeleteMessage(ctx context.Context, id chat.ConversationID, seq int64, by chat.UserID) (Edited, error)
	// History is a page of messages in ascending Seq, with from <= Seq <= to,
	// at most limit of them: the last ones when backward, else the first.
	History(ctx context.Context, id chat.ConversationID, by chat.UserID, from, to int64, backward bool, limit int) ([]chat.Message, error)
}

// Position is how much of the installation's changes a device has seen. It is
// opaque outside a backend; the empty one has seen nothing.
type Position string

// Feed is what a device asks after it was away (G5).
type Feed interface {
	// Changed lists those of user's conversations that have changed after the
	// position (in any way: messages, names, members, own marks), oldest
	// change first, with those that user is no longer in. The next call goes
	// on from next; more is false when the device has caught up. From the
	// empty position it lists all conversations that user is in. A position
	// that no backend of this kind made is refused with CodeInvalid.
	Changed(ctx context.Context, user chat.UserID, after Position, limit int) (page []chat.Summary, gone []chat.ConversationID, next Position, more bool, err error)
	// Changes are the messages of a conversation whose Rev is above rev, in
	// ascending Rev, at most limit.
	Changes(ctx context.Context, id chat.ConversationID, by chat.UserID, rev int64, limit int) ([]chat.Message, error)
	// Heads sums up each user's conversations for the head check of G4.
	Heads(ctx context.Context, users []chat.UserID) (map[chat.UserID]Head, error)
	// Recent lists by's conversations by last activity, latest first, before
	// the given one (zero time for the first page).
	Recent(ctx context.Context, by chat.UserID, before time.Time, beforeID chat.ConversationID, limit int) ([]chat.Summary, error)
}

// Head is the state of all of a user's conversations in two numbers. Both
// sides can keep it as frames arrive, in whatever order; where the sums
// differ, the device has missed something.
type Head struct {
	Conversations int   // how many the user is in
	Sum           int64 // of their Rev and of the user's stored read marks
}

// MaxSubscriptions is how many devices of a user may take notifications.
const MaxSubscriptions = 20

// Subscription is where a device takes notifications (see package webpush). It
// belongs to the session that registered it and ends with it.
type Subscription struct {
	User     chat.UserID
	Session  chat.SessionID
	Endpoint string // unique, at most 2,048 bytes; a secret
	P256DH   string
	Auth     string
	// CreatedAt is when it was last registered; given by the store.
	CreatedAt time.Time
}

// MemberKey names a person's place in a conversation.
type MemberKey struct {
	Conversation chat.ConversationID
	User         chat.UserID
}

// NotificationState is a member's place in a conversation, as far as a notification
// needs it.
type NotificationState struct {
	Kind  chat.Kind
	Title string
	Read  int64 // the member's read mark, as stored
}

// Pushes keeps what notifying people who are away needs.
type Pushes interface {
	// PushKeys is the pair of keys by which push services know the
	// installation. The first call has it made; all processes that call at the
	// same time get the same pair, and keep it for ever.
	PushKeys(ctx context.Context, generate func() (public, private string, err error)) (public, private string, err error)
	// PutSubscription registers a device. An endpoint that is registered
	// already moves to this user and session. Beyond MaxSubscriptions the
	// user's one that was registered longest ago goes. A session that is not,
	// or no longer, the user's is refused with CodeUnauthenticated.
	PutSubscription(ctx context.Context, s Subscription) error
	// DeleteSubscription ends a subscription of user's; one that does not
	// exist, or is another's, is passed over.
	DeleteSubscription(ctx context.Context, user chat.UserID, endpoint string) error
	// DropSubscription ends a subscription that its push service has ended, or
	// takes nothing for.
	DropSubscription(ctx context.Context, endpoint string) error
	// Subscriptions are those of the users, in any order: of sessions that
	// have not expired and accounts that are not disabled.
	Subscriptions(ctx context.Context, users []chat.UserID) ([]Subscription, error)
	// NotificationStates gives members' places; who is not in the conversation, or no
	// longer, is left out.
	NotificationStates(ctx context.Context, keys []MemberKey) (map[MemberKey]NotificationState, error)
}

// Batch is a group of accounts that are made and removed together; see package
// chat.
type Batch struct {
	Name      string
	CreatedAt time.Time
	Accounts  int
	Removing  bool // its removal has begun
}

// NewBatchUser is an account of a batch to be made, with the session that it
// is logged in with: the session's User and ID are given by the store.
type NewBatchUser struct {
	NewUser
	Session Session
}

// BatchUser is an account of a batch that was made, and its session.
type BatchUser struct {
	User    chat.User
	Session chat.SessionID
}

// RemovalWork bounds a step of a removal: about so many rows of the database
// are changed in its transaction, which takes some 20 ms. Only the members of
// one conversation part from it all at once.
const RemovalWork = 2000

// Removal is what a step of the removal of a batch did, and leaves to announce.
type Removal struct {
	Ended      map[chat.UserID][]chat.SessionID // sessions that are no more
	Departures []Departure
	// What the step removed.
	Messages, Conversations, Accounts int
	// Done is true when nothing of the batch is left.
	Done bool
}

// Departure is that an account left a conversation which stays.
type Departure struct {
	User   chat.UserID
	Change Change
}

// Batches keeps accounts that are made and removed together.
type Batches interface {
	// CreateBatchUsers makes accounts in one transaction, in a batch that is
	// made with its first ones. None becomes admin. When a name or its
	// skeleton is in use, or comes twice, none is made, and the text of
	// CodeNameTaken names the first of them. A batch that is being removed is
	// refused with CodeConflict.
	CreateBatchUsers(ctx context.Context, batch string, users []NewBatchUser) ([]BatchUser, error)
	// CreateBatchConversations makes conversations in one transaction, each as
	// CreateConversation does. Who is not of the batch, or disabled, is
	// refused with CodeInvalid, and nothing is made. CodeNotFound when there
	// is no such batch.
	CreateBatchConversations(ctx context.Context, batch string, list []NewConversation) ([]Change, error)
	// Batches lists them by name.
	Batches(ctx context.Context) ([]Batch, error)
	// RemoveBatch does a step of the removal of a batch (see package chat for
	// what goes and what stays) and returns; the next call goes on, until
	// Done. The first steps disable its accounts and end their sessions.
	// CodeNotFound when there is no such batch (any more).
	RemoveBatch(ctx context.Context, batch string) (Removal, error)
}
