package storetx

import (
	"context"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// Tx is a transaction of a backend, made of what the commands ask for. Every
// method may fail with trouble of the backend, which ends the transaction.
type Tx interface {
	Conversations
	Members
	Links
	Messages
	Accounts
	Batches
	BatchAccounts
	BatchConversations
}

// Conversations reads and keeps conversations.
type Conversations interface {
	// NewID makes an id.
	NewID() (int64, error)
	// Now is the time of the change, as it is kept.
	Now() time.Time
	// LockConversation reads a conversation and keeps others from changing it
	// until the transaction ends. CodeNotFound when there is none.
	LockConversation(id chat.ConversationID) (chat.Conversation, error)
	// LockDirect does so with the direct conversation of two people, in
	// ascending order; found is false when there is none.
	LockDirect(low, high chat.UserID) (c chat.Conversation, found bool, err error)
	// InsertConversation keeps a conversation that has no members yet; low and
	// high are the two of a direct one, ascending. It returns false when the two
	// have one already, and it holds the lock of what it inserted.
	InsertConversation(c chat.Conversation, low, high chat.UserID) (inserted bool, err error)
	// SaveTitle keeps title, topic and Rev of a conversation that is locked.
	SaveTitle(c chat.Conversation) error
	// Audience is who may receive a change of the conversation, which is locked
	// and saved.
	Audience(c chat.Conversation) (chat.Audience, error)
}

// Members reads and keeps who is in conversations, which are locked.
type Members interface {
	// Role is what a user is in a conversation, "" for nothing.
	Role(id chat.ConversationID, user chat.UserID) (chat.Role, error)
	// Outsiders are those of users who are not in the conversation, each once,
	// in their order.
	Outsiders(id chat.ConversationID, users []chat.UserID) ([]chat.UserID, error)
	// Usable reports whether all the accounts, none of which comes twice, exist
	// and are not disabled. They stay so until the transaction ends.
	Usable(users []chat.UserID) (bool, error)
	// Memberships are all members.
	Memberships(id chat.ConversationID) ([]chat.Membership, error)
	// CountOwners is how many of them are owners.
	CountOwners(id chat.ConversationID) (int, error)
	// SaveMembers keeps a change of membership, with the conversation's Rev,
	// MembersRev and number of members.
	SaveMembers(c chat.MembersChange) error

	// LockMembership reads a membership, and the Seq of its conversation, and
	// keeps others from moving its marks until the transaction ends. It takes no
	// lock of the conversation. CodeNotFound when the user is not in it.
	LockMembership(id chat.ConversationID, user chat.UserID) (m chat.Membership, seq int64, err error)
	// SaveMarks keeps the marks of a membership. When the read mark has moved,
	// the user's devices are to learn of it.
	SaveMarks(m chat.Membership, readMoved bool) error
}

// Links reads and keeps invitation links to conversations.
type Links interface {
	// FindLink finds a link by its token's hash.
	FindLink(token []byte) (l store.Link, found bool, err error)
	// LockLink does so, and keeps others from using it until the transaction
	// ends. The conversation is locked before.
	LockLink(token []byte) (l store.Link, found bool, err error)
	InsertLink(l store.Link) error
	// DeleteLinkOf ends a link of the conversation, if there is such a one.
	DeleteLinkOf(id chat.ConversationID, link int64) (found bool, err error)
	// UseLink counts a use of a link that is locked.
	UseLink(id int64) error
}

// Messages changes what was said in conversations, which are locked.
type Messages interface {
	// UpdateMessage reads a message and has f change it. When f reports that it
	// did, the message is kept. CodeNotFound when there is none.
	UpdateMessage(id chat.ConversationID, seq int64, f func(*chat.Message) (changed bool, err error)) error
	// SaveHead keeps Seq and Rev of a conversation.
	SaveHead(id chat.ConversationID, head chat.Head) error
}

// Accounts keeps accounts, and the invitations that pay for them.
type Accounts interface {
	// AnyAccount reports whether there is an account. Where there is none, other
	// makers of accounts wait until the transaction ends.
	AnyAccount() (bool, error)
	// InsertAccount keeps an account. It returns false when its name, or the
	// skeleton, is in use.
	InsertAccount(as chat.User, u store.NewUser) (free bool, err error)

	InsertInvitation(i store.Invitation) error
	// LockInvitation finds an invitation by its token's hash, and keeps others
	// from using it until the transaction ends.
	LockInvitation(token []byte) (i store.Invitation, found bool, err error)
	// UseInvitation counts a use of an invitation that is locked.
	UseInvitation(id int64) error
	// EndInvitation deletes an invitation, if there is such a one.
	EndInvitation(id int64) (found bool, err error)
}

// Batch is a batch of accounts that are made and removed together.
type Batch struct {
	ID      int64
	Stage   chat.RemovalStage
	Reached chat.UserID // the last account that the stage is through with
}

// Batches reads and keeps batches, and makes accounts of them.
type Batches interface {
	// HoldBatch finds a batch by name, and keeps its removal away until the
	// transaction ends. OpenBatch makes it when there is none; found is false
	// when it was removed just now. LockBatch keeps everybody else away.
	HoldBatch(name string) (b Batch, found bool, err error)
	OpenBatch(name string) (b Batch, found bool, err error)
	LockBatch(name string) (b Batch, found bool, err error)
	// SaveBatch keeps Stage and Reached of a batch that is locked.
	SaveBatch(b Batch) error
	DeleteBatch(b Batch) error
	// InsertBatchAccounts keeps accounts of a batch; as and users have the same
	// indices. taken is that of the first whose name, or skeleton, is in use,
	// -1 for none.
	InsertBatchAccounts(b Batch, as []chat.User, users []store.NewBatchUser) (taken int, err error)
	// InsertSessions keeps sessions, which have their ids.
	InsertSessions(list []store.Session) error
	// StrangerTo finds the first of users who is not of the batch, or disabled.
	StrangerTo(b Batch, users []chat.UserID) (stranger chat.UserID, found bool, err error)
}

// BatchAccounts removes the accounts of a batch, which is locked.
type BatchAccounts interface {
	// AccountsOf are the next of the batch after Reached, ascending.
	AccountsOf(b Batch, limit int) ([]chat.UserID, error)
	// DisableAccounts disables accounts and ends their sessions, which it gives.
	DisableAccounts(users []chat.UserID) (ended map[chat.UserID][]chat.SessionID, err error)
	// ReleaseAccounts takes accounts out of the batch, where they are of it,
	// disabled; they stay for ever.
	ReleaseAccounts(b Batch, users []chat.UserID) error
	// InConversations are those of the accounts that are in some conversation.
	InConversations(users []chat.UserID) ([]chat.UserID, error)
	// DeleteAccounts removes accounts with all that is theirs.
	DeleteAccounts(users []chat.UserID) error
}

// BatchConversations removes or parts from the conversations of a batch, which
// is locked.
type BatchConversations interface {
	// LockPlaces takes the next accounts of the batch after Reached, so many
	// that parting them from their conversations is about so much work (and
	// one at least), locks these conversations, in the order of their ids, and
	// gives the accounts' places. reached is the last of the accounts, 0 for
	// none.
	LockPlaces(b Batch, work int) (places []chat.Participation, reached chat.UserID, err error)
	// KeepConversations notes conversations that stay; some may be noted
	// already.
	KeepConversations(b Batch, ids []chat.ConversationID) error
	// CloseConversations takes everybody out of conversations that will be
	// removed, and makes them such that nobody can find or join: from here on
	// they are seen by no one.
	CloseConversations(b Batch, ids []chat.ConversationID) error
	// ClosedConversations locks conversations that were closed, ascending.
	ClosedConversations(b Batch, limit int) ([]chat.MessageWalk, error)
	// EraseMessages removes messages, and tells how many there were.
	EraseMessages(parts []chat.MessageRange) (n int, err error)
	// DeleteConversations removes closed conversations that have no messages.
	DeleteConversations(ids []chat.ConversationID) error
	// KeptConversation is one of those that stay whose walk has not ended.
	KeptConversation(b Batch) (w chat.MessageWalk, found bool, err error)
	// Authors are who wrote in the range, each once.
	Authors(part chat.MessageRange) ([]chat.UserID, error)
	// SaveWalk notes how far a walk has come, or that it has ended.
	SaveWalk(b Batch, part chat.MessageRange) error
}

// Update runs f in a transaction and commits it, or takes all of it back when f
// returns an error. what says what is tried, for the errors that are not
// refusals. It may run f again from the start.
type Update func(ctx context.Context, what string, f func(Tx) error) error

// Commands are the changes, as methods of the port; see package store for what
// each promises.
type Commands struct{ update Update }

// New gives the commands that run in the transactions of a backend.
func New(update Update) Commands { return Commands{update: update} }

// run runs f in a transaction and gives what it returned in the run that was
// committed.
func run[T any](ctx context.Context, c Commands, what string, f func(Tx) (T, error)) (T, error) {
	var out T
	err := c.update(ctx, what, func(t Tx) (err error) {
		out, err = f(t)
		return err
	})
	if err != nil {
		var none T
		return none, err
	}
	return out, nil
}
