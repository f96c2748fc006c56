package storetx

import (
	"context"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// Tx is a transaction of a backend, with the operations that the commands need.
// Every method may fail with a database error, which ends the transaction.
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

// Conversations reads and stores conversations.
type Conversations interface {
	// NewID returns a new id.
	NewID() (int64, error)
	// Now returns the time of the change, in the precision of the store.
	Now() time.Time
	// LockConversation reads a conversation and locks it against changes until
	// the transaction ends. CodeNotFound when there is none.
	LockConversation(id chat.ConversationID) (chat.Conversation, error)
	// LockDirect does the same with the direct conversation of two users, given
	// in ascending order; found is false when there is none.
	LockDirect(low, high chat.UserID) (c chat.Conversation, found bool, err error)
	// InsertConversation stores a conversation that has no members yet; low and
	// high are the users of a direct one, ascending. It returns false when the
	// two have one already. What it inserted is locked.
	InsertConversation(c chat.Conversation, low, high chat.UserID) (inserted bool, err error)
	// SaveProfile stores title, topic and Rev of a locked conversation.
	SaveProfile(c chat.Conversation) error
	// Audience returns who may receive a change of the conversation, which is
	// locked and saved.
	Audience(c chat.Conversation) (chat.Audience, error)
}

// Members reads and stores the members of locked conversations.
type Members interface {
	// Role returns a user's role in a conversation, "" for a non-member.
	Role(id chat.ConversationID, user chat.UserID) (chat.Role, error)
	// NonMembers returns those of users who are not members, each once, in the
	// given order.
	NonMembers(id chat.ConversationID, users []chat.UserID) ([]chat.UserID, error)
	// AccountsEnabled reports whether all the accounts, none of which occurs
	// twice, exist and are not disabled. None is deleted until the transaction ends,
	// but one may be disabled meanwhile.
	AccountsEnabled(users []chat.UserID) (bool, error)
	// Memberships returns all members.
	Memberships(id chat.ConversationID) ([]chat.Membership, error)
	// CountOwners returns how many of them are owners.
	CountOwners(id chat.ConversationID) (int, error)
	// SaveMembers stores a change of membership, with the conversation's Rev,
	// MembersRev and number of members.
	SaveMembers(c chat.MembersChange) error

	// LockMembership reads a membership and the Seq of its conversation, and
	// locks the marks until the transaction ends. It does not lock the
	// conversation. CodeNotFound when the user is not a member.
	LockMembership(id chat.ConversationID, user chat.UserID) (m chat.Membership, seq int64, err error)
	// SaveMarks stores the marks of a membership, one of which has moved. The
	// devices of the others must see that in a small conversation, and those of
	// the user when the read mark has moved.
	SaveMarks(m chat.Membership, readMoved bool) error
}

// Links reads and stores invitation links to conversations.
type Links interface {
	// FindLink finds a link by its token's hash.
	FindLink(token []byte) (l store.Link, found bool, err error)
	// LockLink does the same and locks the link against use until the
	// transaction ends. The conversation is locked before.
	LockLink(token []byte) (l store.Link, found bool, err error)
	InsertLink(l store.Link) error
	// DeleteConversationLink deletes a link of the conversation, if it exists.
	DeleteConversationLink(id chat.ConversationID, link int64) (found bool, err error)
	// UseLink counts a use of a locked link.
	UseLink(id int64) error
}

// Messages changes messages of locked conversations.
type Messages interface {
	// UpdateMessage reads a message and calls f to change it. When f reports a
	// change, the message is stored. CodeNotFound when there is none.
	UpdateMessage(id chat.ConversationID, seq int64, f func(*chat.Message) (changed bool, err error)) error
	// SaveHead stores Seq and Rev of a conversation.
	SaveHead(id chat.ConversationID, head chat.Head) error
}

// Accounts stores accounts, and the invitations to create them.
type Accounts interface {
	// HasAccounts reports whether there is an account. When there is none, others
	// who create accounts wait until the transaction ends.
	HasAccounts() (bool, error)
	// InsertAccount stores an account. It returns false when its name, or the
	// skeleton, is in use.
	InsertAccount(as chat.User, u store.NewUser) (free bool, err error)
	// NameTaken reports whether the name of an account, or its skeleton, is in use.
	NameTaken(u store.NewUser) (bool, error)
	// UpdateAccount changes the fields of c that are not nil, and ends the sessions of
	// an account that is disabled. CodeNotFound when there is none.
	UpdateAccount(id chat.UserID, c store.UserChange) (chat.User, error)
	// LockAdministrators reports whether there is an administrator who is not
	// disabled. Others who ask wait until the transaction ends.
	LockAdministrators() (exist bool, err error)

	InsertInvitation(i store.Invitation) error
	// LockInvitation finds an invitation by its token's hash and locks it against
	// use until the transaction ends.
	LockInvitation(token []byte) (i store.Invitation, found bool, err error)
	// UseInvitation counts a use of a locked invitation.
	UseInvitation(id int64) error
	// DeleteInvitationByID deletes an invitation, if it exists.
	DeleteInvitationByID(id int64) (found bool, err error)
}

// Batch is a batch of accounts that are created and removed together.
type Batch struct {
	ID      int64
	Stage   chat.RemovalStage
	Reached chat.UserID // the last account that the stage has handled
}

// Batches reads and stores batches, and creates their accounts.
type Batches interface {
	// ShareLockBatch finds a batch by name and locks it against removal until the
	// transaction ends. EnsureBatch does the same and creates it when there is
	// none; found is false when it was removed just now. LockBatch locks it
	// exclusively.
	ShareLockBatch(name string) (b Batch, found bool, err error)
	EnsureBatch(name string) (b Batch, found bool, err error)
	LockBatch(name string) (b Batch, found bool, err error)
	// SaveBatch stores Stage and Reached of a locked batch.
	SaveBatch(b Batch) error
	DeleteBatch(b Batch) error
	// InsertBatchAccounts stores accounts of a batch; as and users have the same
	// indices. taken is the index of the first whose name, or skeleton, is in
	// use, -1 for none.
	InsertBatchAccounts(b Batch, as []chat.User, users []store.NewBatchUser) (taken int, err error)
	// InsertSessions stores sessions, whose ids are set.
	InsertSessions(list []store.Session) error
	// FirstNotInBatch finds the first of users who is not in the batch, or is
	// disabled.
	FirstNotInBatch(b Batch, users []chat.UserID) (user chat.UserID, found bool, err error)
}

// BatchAccounts removes the accounts of a locked batch.
type BatchAccounts interface {
	// NextAccounts returns the next accounts of the batch after Reached,
	// ascending.
	NextAccounts(b Batch, limit int) ([]chat.UserID, error)
	// DisableAccounts disables accounts, ends their sessions and returns these.
	DisableAccounts(users []chat.UserID) (ended map[chat.UserID][]chat.SessionID, err error)
	// ReleaseAccounts removes accounts from the batch, as far as they are in it.
	// They are disabled and stay for ever.
	ReleaseAccounts(b Batch, users []chat.UserID) error
	// InConversations returns those of the accounts that are in a conversation.
	InConversations(users []chat.UserID) ([]chat.UserID, error)
	// DeleteAccounts removes accounts with all their data.
	DeleteAccounts(users []chat.UserID) error
}

// BatchConversations removes the conversations of a locked batch, or removes its
// accounts from them.
type BatchConversations interface {
	// LockMembershipsOfBatch takes the next accounts of the batch after Reached,
	// as many as can be removed from their conversations with about the given
	// work (and at least one), locks these conversations in the order of their
	// ids, and returns the accounts' memberships. reached is the last of the
	// accounts, 0 for none.
	LockMembershipsOfBatch(b Batch, work int) (memberships []chat.Participation, reached chat.UserID, err error)
	// RecordKeptConversations records conversations that remain; some may be
	// recorded already.
	RecordKeptConversations(b Batch, ids []chat.ConversationID) error
	// CloseConversations removes all members from conversations that will be
	// removed, and makes them impossible to find and join: from here on nobody
	// sees them.
	CloseConversations(b Batch, ids []chat.ConversationID) error
	// LockClosedConversations locks and returns conversations that were closed,
	// ascending.
	LockClosedConversations(b Batch, limit int) ([]chat.MessageWalk, error)
	// EraseMessages removes messages, and returns how many there were.
	EraseMessages(parts []chat.MessageRange) (n int, err error)
	// DeleteConversations removes closed conversations that have no messages.
	DeleteConversations(ids []chat.ConversationID) error
	// NextKeptConversation returns a conversation that remains and whose walk has
	// not ended.
	NextKeptConversation(b Batch) (w chat.MessageWalk, found bool, err error)
	// Authors returns who wrote in the range, each once.
	Authors(part chat.MessageRange) ([]chat.UserID, error)
	// SaveProgress records how far a walk has come, or that it has ended.
	SaveProgress(b Batch, part chat.MessageRange) error
}

// Update runs f in a transaction and commits it, or rolls it back when f returns
// an error. what says what is tried, for errors that are not refusals. It may run
// f again from the start.
type Update func(ctx context.Context, what string, f func(Tx) error) error

// Commands are the changes, as methods of the port; see package store for the
// contract of each.
type Commands struct{ update Update }

// New returns commands that run in the transactions of a backend.
func New(update Update) Commands { return Commands{update: update} }

// run runs f in a transaction and returns the result of the run that was
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
