// Package store is the port to durable data: accounts, conversations, messages.
// Package sqlite implements it for a system in one process, package postgres for
// a cluster; both pass package storetest.
//
// # Guarantees
//
//   - Durable: when a method that changes something returns nil, the change
//     survives a crash of the process and of the machine (fsync).
//   - Atomic: a method applies all of its change, or nothing.
//   - Rules live in package chat: what a rule needs is loaded, the rule is
//     called, and its result is stored. Package storetx does so for all
//     backends; a backend decides nothing itself.
//   - One order: Seq and Rev of a conversation are assigned in the transaction
//     that stores, guarded by unique keys. Changes of one conversation are
//     serialised, whoever requests them.
//   - Concurrent: every method may be called by any number of goroutines.
//   - Errors: a refusal that a user may see is a *chat.Error. Everything else is
//     an error of the database; errors.Is(err, [ErrUnavailable]) when the same
//     call may succeed later.
//   - Reads see every change whose method has returned before they began.
//   - Clocks may be set back or forward, by any time: the order of messages and
//     whether they are stored do not depend on it.
//
// Times have millisecond precision and are in UTC.
package store

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

// ErrUnavailable is wrapped by errors that are temporary: the same call may
// succeed later.
var ErrUnavailable = errors.New("the store is unavailable")

// ErrPoison is wrapped by errors that the input alone caused: the same call will
// never succeed, others may.
var ErrPoison = errors.New("the store rejects the input")

// Store is the whole port. Callers depend on the part that they need.
type Store interface {
	Accounts
	Sessions
	Invitations
	Conversations
	Members
	Links
	Messages
	Feed
	Epochs
	Pushes
	Batches

	// Ping reports, by a nil error, that the store answers and is writable.
	Ping(ctx context.Context) error
	// Secret returns 32 random bytes that were created with the installation.
	// They are the key that authenticates values which clients must return
	// unchanged (cursors).
	Secret() []byte
	// Close waits for writes in flight and closes. It is idempotent.
	Close() error
}

// NewUser is an account to be created. Name and Skeleton come from package
// username.
type NewUser struct {
	Name        string // canonical and unique
	Skeleton    string // the confusable form of Name; unique as well
	DisplayName string
	Password    string // encoded hash, see package password; "" cannot log in
	Admin       bool   // the first account becomes admin in any case
}

// Accounts stores accounts.
type Accounts interface {
	// CreateUser creates an account. It refuses with CodeNameTaken when Name or
	// Skeleton is in use. The very first account becomes admin; this is decided
	// in the transaction, so that of two first registrations exactly one does.
	// invitation is the token hash of the invitation to use, nil for none; an
	// invitation that is unknown, expired or used up is refused with
	// CodeForbidden.
	CreateUser(ctx context.Context, u NewUser, invitation []byte) (chat.User, error)
	// CheckUser refuses what CreateUser would refuse now. It is for callers who have
	// something to do first that is expensive; u.Password is not looked at.
	CheckUser(ctx context.Context, u NewUser, invitation []byte) error
	// HasUsers reports whether there is an account.
	HasUsers(ctx context.Context) (bool, error)
	// Users returns accounts by id; unknown ones are left out.
	Users(ctx context.Context, ids []chat.UserID) ([]chat.User, error)
	// Credentials returns an account and its password hash by canonical name;
	// CodeNotFound when there is none. A disabled account is returned as well,
	// with Disabled set.
	Credentials(ctx context.Context, name string) (u chat.User, password string, err error)
	// SearchUsers lists accounts that are not disabled whose name or display
	// name contains the text, as package textfold compares them, ordered by name, after the name given.
	SearchUsers(ctx context.Context, text, after string, limit int) ([]chat.User, error)
	// AllUsers lists every account whose name or display name contains the text
	// (caseless), disabled ones too, ordered by name, after the name given.
	AllUsers(ctx context.Context, text, after string, limit int) ([]chat.User, error)
	// UpdateUser changes the fields of c that are not nil. It refuses with
	// CodeConflict what would leave the installation without an administrator who
	// is not disabled; this is decided in the transaction, so that of two
	// administrators who take it from each other one stays.
	UpdateUser(ctx context.Context, id chat.UserID, c UserChange) (chat.User, error)
	// SetLastSeen records when a user's last device disconnected. The time never
	// decreases.
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

// Sessions stores who is logged in.
type Sessions interface {
	// CreateSession logs a device in and returns the id of the session. An
	// unknown or disabled account is refused with CodeNotFound.
	CreateSession(ctx context.Context, s Session) (chat.SessionID, error)
	// SessionByToken returns a session that has not expired, and its account.
	// CodeUnauthenticated when there is none, or its account is disabled.
	SessionByToken(ctx context.Context, token []byte, now time.Time) (Session, chat.User, error)
	// SessionsOf lists a user's sessions that have not expired, newest first.
	SessionsOf(ctx context.Context, user chat.UserID) ([]Session, error)
	// EndedSessions returns those of the sessions that have ended or expired, or
	// never were, in any order.
	EndedSessions(ctx context.Context, ids []chat.SessionID) ([]chat.SessionID, error)
	// TouchSession records a use; it may be lost in a crash of the process. The
	// latest use wins, and a session that has ended is ignored.
	TouchSession(ctx context.Context, id chat.SessionID, seen, expires time.Time) error
	// DeleteSessions ends the given sessions of user, or all but keep when ids
	// is nil, and returns those that it ended.
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

// Usable reports whether the invitation can be used at the given time.
func (i Invitation) Usable(now time.Time) bool {
	return now.Before(i.ExpiresAt) && (i.MaxUses == 0 || i.Uses < i.MaxUses)
}

// Issued returns the invitation as it is stored when it is created, with its id.
func (i Invitation) Issued(id int64) Invitation {
	i.ID, i.Uses = id, 0
	i.CreatedAt, i.ExpiresAt = i.CreatedAt.Truncate(time.Millisecond).UTC(), i.ExpiresAt.Truncate(time.Millisecond).UTC()
	return i
}

// Invitations stores invitations to register.
type Invitations interface {
	CreateInvitation(ctx context.Context, i Invitation) (Invitation, error)
	// Invitations lists those that can still be used, newest first.
	Invitations(ctx context.Context, now time.Time) ([]Invitation, error)
	DeleteInvitation(ctx context.Context, id int64) error
}

// Change is the result of a change to a conversation, to be announced.
type Change struct {
	Conversation chat.Conversation // after the change
	Audience     chat.Audience     // the members after the change
	// Changed is false when nothing had to change; then nothing is announced.
	Changed bool
	// Joined and Left are the users whose membership began or ended.
	Joined, Left []chat.UserID
	// MembersRevBefore is the conversation's MembersRev before a change of
	// members or roles: with Joined and Left, the members of then are those of
	// now. It is 0 for other changes, and for a conversation that is new.
	MembersRevBefore int64
}

// NewConversation is a conversation to be created. Its creator owns it.
type NewConversation struct {
	Kind    chat.Kind
	Title   string
	Topic   string
	By      chat.UserID
	Members []chat.UserID // besides By; exactly one for a direct conversation
}

// MemberIDs returns all initial members, By included, in ascending order.
func (n NewConversation) MemberIDs() []chat.UserID {
	return slices.Compact(slices.Sorted(slices.Values(append([]chat.UserID{n.By}, n.Members...))))
}

// Clean validates the conversation and returns it as it is stored. members is
// the number of its initial members, the creator included.
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

// Conversations stores conversations. by is always the user who makes the call:
// when they may not see the conversation, the refusal is CodeNotFound; when they
// may not do it, CodeForbidden.
type Conversations interface {
	// CreateConversation creates a conversation. A direct conversation that the
	// pair has already is returned with Changed false. Unknown or disabled users
	// are refused with CodeNotFound.
	CreateConversation(ctx context.Context, c NewConversation) (Change, error)
	// Conversation returns one of by's conversations as by sees it.
	Conversation(ctx context.Context, id chat.ConversationID, by chat.UserID) (chat.Summary, error)
	// UpdateConversation changes title and topic where they are not nil.
	UpdateConversation(ctx context.Context, id chat.ConversationID, by chat.UserID, title, topic *string) (Change, error)
	// Channels lists public channels whose title or topic contains the text
	// (caseless), ordered by title and id, after the given ones. member says
	// for each, at the same index, whether by is a member.
	Channels(ctx context.Context, by chat.UserID, text, afterTitle string, after chat.ConversationID, limit int) (channels []chat.Conversation, member []bool, err error)
	// Audience returns who may receive what is not stored, such as typing
	// notifications. CodeNotFound for a conversation that does not exist.
	Audience(ctx context.Context, id chat.ConversationID) (chat.Audience, error)
}

// UserPair is a user and another.
type UserPair struct{ User, Other chat.UserID }

// Members stores who is in which conversation. A user who joins, or joins again,
// sees the whole history, and all of it counts as read.
type Members interface {
	// Join adds by to a public channel.
	Join(ctx context.Context, id chat.ConversationID, by chat.UserID) (Change, error)
	// AddMembers adds users; those who are members already are ignored.
	AddMembers(ctx context.Context, id chat.ConversationID, by chat.UserID, users []chat.UserID) (Change, error)
	// RemoveMember removes a member; by and user are the same when a member
	// leaves. When the last owner leaves, chat.Successor becomes owner.
	RemoveMember(ctx context.Context, id chat.ConversationID, by, user chat.UserID) (Change, error)
	// SetRole changes the role of a member. The last owner stays owner.
	SetRole(ctx context.Context, id chat.ConversationID, by, user chat.UserID, role chat.Role) (Change, error)
	// MembersOf lists the members whose name or display name contains the text
	// (caseless), by user id, after the given one.
	MembersOf(ctx context.Context, id chat.ConversationID, by chat.UserID, text string, after chat.UserID, limit int) ([]chat.Membership, error)
	// MemberIDs returns all members, ascending, and the MembersRev at which they
	// are the members.
	MemberIDs(ctx context.Context, id chat.ConversationID) ([]chat.UserID, int64, error)
	// ShareConversation reports for each pair, at the same index, whether the two
	// share a conversation; only then may one watch the other's presence.
	ShareConversation(ctx context.Context, pairs []UserPair) ([]bool, error)
	// Mark moves by's read and received marks forward, never back and never past
	// the last message; zero leaves a mark unchanged. It returns the current
	// marks and whether any has moved.
	Mark(ctx context.Context, id chat.ConversationID, by chat.UserID, read, received int64) (m chat.Membership, moved bool, err error)
}

// Link lets whoever holds it join a conversation.
type Link struct {
	Invitation
	Conversation chat.ConversationID
}

// Links stores invitation links to conversations. Those who manage a
// conversation create, list and delete them.
type Links interface {
	CreateLink(ctx context.Context, l Link) (Link, error)
	LinksOf(ctx context.Context, id chat.ConversationID, by chat.UserID, now time.Time) ([]Link, error)
	DeleteLink(ctx context.Context, id chat.ConversationID, by chat.UserID, link int64) error
	// LinkByToken returns the conversation of a usable link, for whoever holds
	// it.
	LinkByToken(ctx context.Context, token []byte, now time.Time) (chat.Conversation, error)
	// JoinByLink adds by and counts the use. For a member nothing is counted, and
	// the call succeeds also when the link has ended since. For others a link
	// that is unknown, expired or used up is CodeNotFound.
	JoinByLink(ctx context.Context, token []byte, by chat.UserID, now time.Time) (Change, error)
}

// Edited is a message that was edited or deleted, and who receives it.
type Edited struct {
	Message  chat.Message
	Audience chat.Audience
	Changed  bool // false when nothing had to change
}

// FailureRetention is how long at least it is stored that a submission failed. One
// that comes again after that is decided about anew.
const FailureRetention = 30 * 24 * time.Hour

// MaxFailures is how many failures [Feed.Failures] lists at most.
const MaxFailures = 500

// SendKey is the idempotency key of a send. It never expires for what was stored.
type SendKey struct {
	Sender   chat.UserID
	ClientID chat.ClientID
}

// Messages stores messages.
type Messages interface {
	// FindByClientID returns what became of what was sent under the keys; keys
	// under which nothing was decided are left out. A message whose text no
	// longer exists is returned as a tombstone.
	FindByClientID(ctx context.Context, keys []SendKey) (map[SendKey]chat.Earlier, error)

	// Append stores a batch in one transaction, in its order, and returns an
	// outcome for each submission, at the same index. Submissions that repeat
	// a client id, in the batch or from years ago, are duplicates or
	// conflicts. An error means that nothing of the batch was stored and that
	// the same batch may be tried again.
	//
	// A conversation that others keep from being changed does not hold up the
	// rest of the batch: nothing is decided about its submissions in the batch
	// (chat.Undecided). Only when all submissions are Retried, Append may wait for a
	// conversation, for a second or so.
	//
	// Outcomes are final: refusals are stored in the same transaction, and a
	// submission that was refused once is refused in the same way whenever it
	// comes again, for FailureRetention at least, unless it is Requeued.
	Append(ctx context.Context, batch []chat.Submission) ([]chat.Outcome, error)
	// Refuse stores that a submission is refused finally, without deciding
	// about it. The outcome is that of an earlier one under its client id,
	// stored or refused, if there was any.
	Refuse(ctx context.Context, s chat.Submission, refusal *chat.Error) (chat.Outcome, error)
	// RefuseNonMembers decides about submissions whose senders seem not to be
	// members. The outcome is that of an earlier submission under the client
	// id; else, for a sender who is no member now, a refusal with CodeNotFound,
	// stored as those of Append; else the zero Outcome: the submission may be
	// published. The outcome of a duplicate has no audience. One transaction
	// decides about all.
	RefuseNonMembers(ctx context.Context, batch []chat.Submission) ([]chat.Outcome, error)
	EditMessage(ctx context.Context, id chat.ConversationID, seq int64, by chat.UserID, body string) (Edited, error)
	DeleteMessage(ctx context.Context, id chat.ConversationID, seq int64, by chat.UserID) (Edited, error)
	// History returns messages with from <= Seq <= to in ascending Seq, at most
	// limit of them: the last ones when backward is true, else the first. The
	// page and its head are of one state, which misses nothing that was committed
	// before the call.
	History(ctx context.Context, id chat.ConversationID, by chat.UserID, from, to int64, backward bool, limit int) (HistoryPage, error)
}

// HistoryPage is a page of a conversation's messages.
type HistoryPage struct {
	Messages []chat.Message
	// Head is the conversation's head in the state that Messages are of: they
	// contain every change up to its Rev and none after it.
	Head chat.Head
}

// Position is how far a device has followed the changes of the installation. It
// is opaque outside a backend; the empty position is the beginning.
type Position string

// ChangedConversation is an entry of [Feed].Changed.
type ChangedConversation struct {
	chat.Summary // with Gone, only its ID means anything
	// Gone is true when the user is no longer in the conversation.
	Gone bool
	// Next continues after this entry, for a device that has room for no more.
	Next Position
}

// Feed is what a device reads when it reconnects (G5).
type Feed interface {
	// Changed lists user's conversations that have changed after the position
	// (in any way: messages, names, members, user's read mark, and in those of up
	// to chat.SmallConversation members the marks of the others), oldest change
	// first, and among them those that user is no longer in. The next call continues
	// from next, after the page, or from the Next of an entry, after that entry;
	// more is false when the device has caught up at next. From the empty
	// position it lists all conversations of user, in any order, and at the end
	// those that have changed meanwhile once more; a page of that round costs the
	// same however many conversations there are. A position that this kind of
	// backend did not create, or not in this epoch (see Epochs), is refused with
	// CodeInvalid: the device begins anew with the empty one.
	Changed(ctx context.Context, user chat.UserID, after Position, limit int) (page []ChangedConversation, next Position, more bool, err error)
	// Failures lists the submissions of user that have failed after the position,
	// oldest first; when there are more than MaxFailures, the latest. It is asked
	// with the positions that Changed is asked with, after Changed; then every
	// failure is listed before a position is after it, and may be listed twice.
	Failures(ctx context.Context, user chat.UserID, after Position) ([]chat.Failure, error)
	// Changes returns the messages of a conversation whose Rev is above rev, in
	// ascending Rev, at most limit, and the Rev of the conversation when they
	// were read: with fewer messages than limit, nothing up to it is missing.
	Changes(ctx context.Context, id chat.ConversationID, by chat.UserID, rev int64, limit int) (page []chat.Message, head int64, err error)
	// HasChanged reports for each device, at the same index, whether Changed or
	// Failures would list anything, or refuse the position.
	HasChanged(ctx context.Context, devices []Device) ([]bool, error)
	// Recent lists by's conversations by last activity, latest first, before
	// the given time and id (zero time for the first page).
	Recent(ctx context.Context, by chat.UserID, before time.Time, beforeID chat.ConversationID, limit int) ([]chat.Summary, error)
}

// Device is a device of a user that has followed the changes up to a position.
type Device struct {
	User  chat.UserID
	After Position
}

// MaxSubscriptions is how many push subscriptions a user may have.
const MaxSubscriptions = 20

// Subscription is a device's Web Push subscription (see package webpush). It
// belongs to the session that registered it and ends with that session.
type Subscription struct {
	User     chat.UserID
	Session  chat.SessionID
	Endpoint string // unique, at most 2,048 bytes; a secret
	P256DH   string
	Auth     string
	// CreatedAt is when it was last registered; set by the store.
	CreatedAt time.Time
}

// MemberKey identifies a membership.
type MemberKey struct {
	Conversation chat.ConversationID
	User         chat.UserID
}

// NotificationState is what a notification needs to know of a membership and its
// conversation.
type NotificationState struct {
	Kind  chat.Kind
	Title string
	Read  int64 // the member's read mark, as stored
}

// Pushes stores what push notifications need.
type Pushes interface {
	// PushKeys returns the key pair by which push services identify the
	// installation (VAPID). The first call generates it; all processes that call
	// at the same time get the same pair, which never changes.
	PushKeys(ctx context.Context, generate func() (public, private string, err error)) (public, private string, err error)
	// PutSubscription registers a device. An endpoint that is registered
	// already moves to this user and session. Beyond MaxSubscriptions the
	// user's oldest registration is deleted. A session that is not, or no
	// longer, the user's is refused with CodeUnauthenticated.
	PutSubscription(ctx context.Context, s Subscription) error
	// DeleteSubscription deletes a subscription of user; one that does not
	// exist, or belongs to another user, is ignored.
	DeleteSubscription(ctx context.Context, user chat.UserID, endpoint string) error
	// DropSubscription deletes a subscription that its push service has ended,
	// or no longer accepts.
	DropSubscription(ctx context.Context, endpoint string) error
	// Subscriptions returns those of the users, in any order: of sessions that
	// have not expired and accounts that are not disabled.
	Subscriptions(ctx context.Context, users []chat.UserID) ([]Subscription, error)
	// NotificationStates returns the states of members; keys of users who are not,
	// or no longer, members are left out.
	NotificationStates(ctx context.Context, keys []MemberKey) (map[MemberKey]NotificationState, error)
}

// Batch is a group of accounts that are created and removed together; see package
// chat.
type Batch struct {
	Name      string
	CreatedAt time.Time
	Accounts  int
	Removing  bool // its removal has begun
}

// NewBatchUser is an account of a batch to be created, with its session: the
// session's User and ID are set by the store.
type NewBatchUser struct {
	NewUser
	Session Session
}

// BatchUser is an account of a batch that was created, and its session.
type BatchUser struct {
	User    chat.User
	Session chat.SessionID
}

// RemovalStepRows bounds a step of a removal: its transaction changes about this
// many rows of the database and takes some 20 ms. Only the members of one
// conversation are all removed in a single step.
const RemovalStepRows = 2000

// Removal is what a step of the removal of a batch did, to be announced.
type Removal struct {
	Ended      map[chat.UserID][]chat.SessionID // sessions that were ended
	Departures []Departure
	// Messages, Conversations and Accounts are how many the step removed.
	Messages, Conversations, Accounts int
	// Done is true when nothing of the batch is left.
	Done bool
}

// Departure says that an account left a conversation which remains.
type Departure struct {
	User   chat.UserID
	Change Change
}

// Batches stores accounts that are created and removed together.
type Batches interface {
	// CreateBatchUsers creates accounts in one transaction. The batch is created
	// with its first accounts. None becomes admin. When a name or its skeleton
	// is in use, or occurs twice, no account is created, and the text of
	// CodeNameTaken contains the first such name. A batch that is being removed
	// is refused with CodeConflict.
	CreateBatchUsers(ctx context.Context, batch string, users []NewBatchUser) ([]BatchUser, error)
	// CreateBatchConversations creates conversations in one transaction, each as
	// CreateConversation does. A user who is not in the batch, or is disabled,
	// is refused with CodeInvalid, and nothing is created. CodeNotFound when
	// there is no such batch.
	CreateBatchConversations(ctx context.Context, batch string, list []NewConversation) ([]Change, error)
	// Batches lists all batches, ordered by name.
	Batches(ctx context.Context) ([]Batch, error)
	// RemoveBatch performs one step of the removal of a batch (see package chat
	// for what is removed and what is kept); the next call continues, until
	// Done. The first steps disable its accounts and end their sessions.
	// CodeNotFound when there is no such batch, or no longer.
	RemoveBatch(ctx context.Context, batch string) (Removal, error)
}
