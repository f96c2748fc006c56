package sqlite

import (
	"slices"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

const (
	// maxCacheWeight bounds the cache: a conversation weighs 1 and each cached
	// role of a member 1 more, some 20 MB in all.
	maxCacheWeight = 200_000
	// maxCachedRoles bounds the cached roles of one large conversation.
	maxCachedRoles = 4096
)

// cachedConversation is a conversation in the cache of the writer.
type cachedConversation struct {
	chat.Conversation
	slot      int64
	low, high chat.UserID // the pair of a direct conversation
	audience  chat.Audience
	// roles are those of members. They are complete in a small conversation; in a
	// large one they are loaded as needed, "" for a non-member.
	roles map[chat.UserID]chat.Role

	before chat.Head // as of the start of the current append
	dirty  bool      // changed by the current append
}

// cache holds conversations as of the current transaction.
type cache struct {
	byID   map[chat.ConversationID]*cachedConversation
	weight int
}

func newCache() *cache { return &cache{byID: map[chat.ConversationID]*cachedConversation{}} }

func (c *cache) clear() {
	clear(c.byID)
	c.weight = 0
}

func (c *cache) add(conv *cachedConversation) {
	c.weight += 1 + len(conv.roles)
	c.byID[conv.ID] = conv
}

// trim evicts conversations when the cache is too large. It runs between
// transactions, when no job uses one.
func (c *cache) trim() {
	for id := range c.byID { // in no order, which is good enough
		if c.weight <= maxCacheWeight {
			return
		}
		c.remove(id)
	}
}

func (c *cache) remove(id chat.ConversationID) {
	if conv := c.byID[id]; conv != nil {
		c.weight -= 1 + len(conv.roles)
		delete(c.byID, id)
	}
}

// conversation returns a conversation by id; nil when there is none.
func (w *writer) conversation(id chat.ConversationID) (*cachedConversation, error) {
	if c := w.cache.byID[id]; c != nil {
		return c, nil
	}
	return w.load(`SELECT `+conversationColumns+` FROM conversations c WHERE c.id = ?`, id)
}

// load reads a conversation and the roles of its members.
func (w *writer) load(query string, args ...any) (*cachedConversation, error) {
	c := &cachedConversation{}
	found, err := w.conn.queryRow(query, func(r row) { c.slot, c.Conversation, c.low, c.high = scanConversation(r) }, args...)
	if err != nil || !found {
		return nil, err
	}
	if c.Members > chat.SmallConversation {
		c.roles = map[chat.UserID]chat.Role{}
	} else if c.roles, err = roles(w.conn, c.slot); err != nil {
		return nil, err
	}
	c.audience = audience(&c.Conversation, c.roles)
	w.cache.add(c)
	return c, nil
}

// role returns a user's role in the conversation, "" for a non-member.
func (w *writer) role(c *cachedConversation, user chat.UserID) (chat.Role, error) {
	role, ok := c.roles[user]
	if ok || !c.audience.Large() {
		return role, nil
	}
	if len(c.roles) >= maxCachedRoles {
		w.cache.weight -= len(c.roles)
		clear(c.roles)
	}
	_, err := w.conn.queryRow(`SELECT role FROM members WHERE user = ? AND slot = ?`,
		func(r row) { role = chat.Role(r.text(0)) }, user, c.slot)
	if err != nil {
		return "", err
	}
	c.roles[user] = role
	w.cache.weight++
	return role, nil
}

func roles(c *conn, slot int64) (map[chat.UserID]chat.Role, error) {
	out := map[chat.UserID]chat.Role{}
	err := c.query(`SELECT i.user, m.role FROM members i INDEXED BY members_by_conversation JOIN members m ON m.user = i.user AND m.slot = i.slot
		WHERE i.slot = ? AND i.role <> ''`, func(r row) error {
		out[r.user(0)] = chat.Role(r.text(1))
		return nil
	}, slot)
	return out, err
}

// audience returns the audience of a conversation. It is shared by all outcomes
// until the members change; nobody may write to it.
func audience(c *chat.Conversation, roles map[chat.UserID]chat.Role) chat.Audience {
	a := chat.Audience{Conversation: c.ID, MembersRev: c.MembersRev}
	if c.Members > chat.SmallConversation {
		return a
	}
	a.Members = make([]chat.UserID, 0, len(roles))
	for user := range roles {
		a.Members = append(a.Members, user)
	}
	slices.Sort(a.Members)
	return a
}
