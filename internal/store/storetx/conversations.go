package storetx

import (
	"context"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// CreateConversation creates a conversation; see the contract.
func (c Commands) CreateConversation(ctx context.Context, n store.NewConversation) (store.Change, error) {
	return run(ctx, c, "create a conversation", func(t Tx) (store.Change, error) { return createConversation(t, n) })
}

// createConversation creates a conversation, as part of a larger change.
func createConversation(t Tx, n store.NewConversation) (none store.Change, err error) {
	members := n.MemberIDs()
	if n, err = n.Clean(len(members)); err != nil {
		return none, err
	}
	var low, high chat.UserID
	if n.Kind == chat.Direct {
		low, high = members[0], members[1]
		c, found, err := t.LockDirect(low, high)
		if err != nil {
			return none, err
		}
		if found {
			return unchanged(t, c)
		}
	}
	if ok, err := t.AccountsEnabled(members); err != nil {
		return none, err
	} else if !ok {
		return none, chat.NotFound("account")
	}
	id, err := t.NewID()
	if err != nil {
		return none, err
	}
	now := t.Now()
	c := chat.Conversation{ID: chat.ConversationID(id), Kind: n.Kind, Title: n.Title, Topic: n.Topic, CreatedAt: now, ActiveAt: now}
	inserted, err := t.InsertConversation(c, low, high)
	if err != nil {
		return none, err
	}
	if !inserted {
		// The other user of the pair created it at the same time.
		if c, inserted, err = t.LockDirect(low, high); err != nil {
			return none, err
		}
		if !inserted {
			return none, chat.NotFound("conversation") // and it was removed again
		}
		return unchanged(t, c)
	}
	m, err := c.AddMembers(members, func(user chat.UserID) chat.Role { return chat.InitialRole(n.Kind, user == n.By) }, now)
	if err != nil {
		return none, err
	}
	return saveMembers(t, m)
}

// UpdateConversation changes title and topic where they are not nil.
func (c Commands) UpdateConversation(ctx context.Context, id chat.ConversationID, by chat.UserID, title, topic *string) (store.Change, error) {
	return run(ctx, c, "change a conversation", func(t Tx) (none store.Change, err error) {
		c, role, err := lockAsMember(t, id, by)
		if err != nil {
			return none, err
		}
		after, renamed, err := c.Rename(role, title, topic)
		if err != nil {
			return none, err
		}
		if !renamed {
			return unchanged(t, c)
		}
		if err := t.SaveProfile(after); err != nil {
			return none, err
		}
		return changed(t, after)
	})
}
