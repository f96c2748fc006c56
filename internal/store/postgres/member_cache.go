package postgres

import (
	"sync"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

const (
	// maxCacheWeight bounds the cache: a conversation weighs 1 and each cached
	// role 1 more, some 30 MB in all.
	maxCacheWeight = 200_000
	// maxCachedRoles bounds the cached roles of one large conversation.
	maxCachedRoles = 4096
)

// cachedMembers are the members of a conversation at one MembersRev. It is
// replaced, not changed, when the membership changes.
type cachedMembers struct {
	membersRev int64
	audience   chat.Audience // shared by all outcomes; nobody may write to it

	mu sync.Mutex
	// roles is complete for a small conversation; for a large one roles are
	// loaded as needed, "" for a non-member.
	roles map[chat.UserID]chat.Role
}

// role returns a user's role, and whether it is cached.
func (m *cachedMembers) role(user chat.UserID) (role chat.Role, cached bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	role, ok := m.roles[user]
	return role, ok || !m.audience.Large()
}

// addRoles caches roles of a large conversation. It may drop others, so callers
// keep a copy of the roles that they need.
func (m *cachedMembers) addRoles(roles map[chat.UserID]chat.Role) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.roles)+len(roles) > maxCachedRoles {
		clear(m.roles)
	}
	for user, role := range roles {
		m.roles[user] = role
	}
}

// knownHead is a conversation as a batch has left it.
type knownHead struct {
	chat.Head
	membersRev, month int64
}

// memberCache caches the members of conversations between batches. An entry is
// never outdated: a batch has locked its conversations and knows their
// MembersRev. Only what was read in a transaction that changed no membership may
// be put.
//
// It has the heads of these conversations as well, as the last batch of this process
// has left them. They may be outdated, and whoever uses one finds out.
type memberCache struct {
	mu     sync.Mutex
	byID   map[chat.ConversationID]*cachedMembers
	heads  map[chat.ConversationID]knownHead // of conversations in byID
	weight int
}

func newMemberCache() *memberCache {
	return &memberCache{byID: map[chat.ConversationID]*cachedMembers{}, heads: map[chat.ConversationID]knownHead{}}
}

// head returns the head of a conversation whose members are cached as of that head.
func (c *memberCache) head(id chat.ConversationID) (head knownHead, members *cachedMembers, found bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	head, found = c.heads[id]
	members = c.byID[id]
	return head, members, found && members.membersRev == head.membersRev
}

// putHead caches the head of a conversation, if its members are cached.
func (c *memberCache) putHead(id chat.ConversationID, head knownHead) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byID[id] != nil {
		c.heads[id] = head
	}
}

// get returns the members at membersRev, nil when they are not cached.
func (c *memberCache) get(id chat.ConversationID, membersRev int64) *cachedMembers {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m := c.byID[id]; m != nil && m.membersRev == membersRev {
		return m
	}
	return nil
}

func (m *cachedMembers) weight() int {
	if m.audience.Large() {
		return 1 + maxCachedRoles/4 // an estimate of the average
	}
	return 1 + len(m.audience.Members)
}

func (c *memberCache) put(id chat.ConversationID, m *cachedMembers) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(id)
	for other := range c.byID { // in no order, which is good enough
		if c.weight+m.weight() <= maxCacheWeight {
			break
		}
		c.remove(other)
	}
	c.byID[id] = m
	c.weight += m.weight()
}

// remove drops an entry. The caller holds the mutex.
func (c *memberCache) remove(id chat.ConversationID) {
	if m := c.byID[id]; m != nil {
		c.weight -= m.weight()
		delete(c.byID, id)
		delete(c.heads, id)
	}
}
