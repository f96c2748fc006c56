package postgres

import (
	"sync"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

const (
	// rosterWeight bounds the cache: a conversation weighs 1 and each role
	// that is known 1 more, some 20 MB in all.
	rosterWeight = 200_000
	// rosterRoles bounds the roles known of one large conversation.
	rosterRoles = 4096
)

// roster is who is in a conversation as of one MembersRev. It is replaced, not
// changed, when the membership does.
type roster struct {
	membersRev int64
	audience   chat.Audience // shared by all that tell of the conversation; nobody may write to it

	mu sync.Mutex
	// roles is complete for a small conversation; for a large one it is
	// filled as roles are asked for, "" for a stranger.
	roles map[chat.UserID]chat.Role
}

// role tells what a user is, and whether that is known.
func (r *roster) role(user chat.UserID) (role chat.Role, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	role, ok := r.roles[user]
	return role, ok || !r.audience.Large()
}

// learn remembers roles of a large conversation. It may forget others, so who
// decides by roles keeps those that it was told.
func (r *roster) learn(roles map[chat.UserID]chat.Role) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.roles)+len(roles) > rosterRoles {
		clear(r.roles)
	}
	for user, role := range roles {
		r.roles[user] = role
	}
}

// rosters remembers memberships between batches. What it holds is never too
// old: a batch holds the lock of its conversations and knows their MembersRev.
// Only what was read in a transaction that changed no membership may be put.
type rosters struct {
	mu     sync.Mutex
	byID   map[chat.ConversationID]*roster
	weight int
}

func newRosters() *rosters { return &rosters{byID: map[chat.ConversationID]*roster{}} }

// get gives the roster of the rev, nil when it is not at hand.
func (k *rosters) get(id chat.ConversationID, membersRev int64) *roster {
	k.mu.Lock()
	defer k.mu.Unlock()
	if r := k.byID[id]; r != nil && r.membersRev == membersRev {
		return r
	}
	return nil
}

func (r *roster) weight() int {
	if r.audience.Large() {
		return 1 + rosterRoles/4 // what one comes to, more or less
	}
	return 1 + len(r.audience.Members)
}

func (k *rosters) put(id chat.ConversationID, r *roster) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.forget(id)
	for other := range k.byID { // in no order, which is good enough
		if k.weight+r.weight() <= rosterWeight {
			break
		}
		k.forget(other)
	}
	k.byID[id] = r
	k.weight += r.weight()
}

// forget drops a roster. k.mu is held.
func (k *rosters) forget(id chat.ConversationID) {
	if r := k.byID[id]; r != nil {
		k.weight -= r.weight()
		delete(k.byID, id)
	}
}
