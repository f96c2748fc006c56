package sqlite

import (
	"slices"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

const (
	// knownWeight bounds the cache: a conversation weighs 1 and each role of a
	// member that is known 1 more, some 20 MB in all.
	knownWeight = 200_000
	// knownRoles bounds the roles known of one large conversation.
	knownRoles = 4096
)

// known is a conversation that the writer knows by heart.
type known struct {
	chat.Conversation
	slot      int64
	low, high chat.UserID // the pair of a direct conversation
	audience  chat.Audience
	// roles of members. In a conversation with an audience they are complete;
	// in a large one they are filled as they are asked for, "" for a stranger.
	roles map[chat.UserID]chat.Role

	before chat.Head // as of the start of the append under way
	dirty  bool      // in the append under way
}

// cache holds conversations as of the transaction under way.
type cache struct {
	byID   map[chat.ConversationID]*known
	weight int
}

func newCache() *cache { return &cache{byID: map[chat.ConversationID]*known{}} }

func (k *cache) clear() {
	clear(k.byID)
	k.weight = 0
}

func (k *cache) add(c *known) {
	k.weight += 1 + len(c.roles)
	k.byID[c.ID] = c
}

// trim makes room. It runs between transactions, when no job holds any.
func (k *cache) trim() {
	for id := range k.byID { // in no order, which is good enough
		if k.weight <= knownWeight {
			return
		}
		k.forget(id)
	}
}

func (k *cache) forget(id chat.ConversationID) {
	if c := k.byID[id]; c != nil {
		k.weight -= 1 + len(c.roles)
		delete(k.byID, id)
	}
}

// conversation finds a conversation by id; nil when there is none.
func (w *writer) conversation(id chat.ConversationID) (*known, error) {
	if c := w.known.byID[id]; c != nil {
		return c, nil
	}
	return w.load(`SELECT `+conversationColumns+` FROM conversations c WHERE c.id = ?`, id)
}

// load reads a conversation and who is in it.
func (w *writer) load(query string, args ...any) (*known, error) {
	c := &known{}
	found, err := w.conn.one(query, func(r row) { c.slot, c.Conversation, c.low, c.high = scanConversation(r) }, args...)
	if err != nil || !found {
		return nil, err
	}
	if c.Members > chat.SmallConversation {
		c.roles = map[chat.UserID]chat.Role{}
	} else if c.roles, err = roles(w.conn, c.slot); err != nil {
		return nil, err
	}
	c.audience = audience(&c.Conversation, c.roles)
	w.known.add(c)
	return c, nil
}

// role is what a user is in the conversation, "" for nothing.
func (w *writer) role(c *known, user chat.UserID) (chat.Role, error) {
	role, ok := c.roles[user]
	if ok || !c.audience.Large() {
		return role, nil
	}
	if len(c.roles) >= knownRoles {
		w.known.weight -= len(c.roles)
		clear(c.roles)
	}
	_, err := w.conn.one(`SELECT role FROM members WHERE user = ? AND slot = ?`,
		func(r row) { role = chat.Role(r.text(0)) }, user, c.slot)
	if err != nil {
		return "", err
	}
	c.roles[user] = role
	w.known.weight++
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

// audience is made once and shared by all that tell of the conversation until
// its members change; nobody may write to it.
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
