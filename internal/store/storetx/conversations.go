package storetx

import (
	"context"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// CreateConversation makes a conversation; see the contract.
func (c Commands) CreateConversation(ctx context.Context, n store.NewConversation) (store.Change, error) {
	return run(ctx, c, "create a conversation", func(t Tx) (store.Change, error) { return createConversation(t, n) })
}

// createConversation makes a conversation, as part of a larger change.
func createConversation(t Tx, n store.NewConversation) (none store.Change, err error) {
	people := n.People()
	if n, err = n.Clean(len(people)); err != nil {
		return none, err
	}
	var low, high chat.UserID
	if n.Kind == chat.Direct {
		low, high = people[0], people[1]
		c, found, err := t.LockDirect(low, high)
		if err != nil {
			return none, err
		}
		if found {
			return unchanged(t, c)
		}
	}
	if ok, err := t.Usable(people); err != nil {
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
		// The other one of the pair was faster.
		if c, inserted, err = t.LockDirect(low, high); err != nil {
			return none, err
		}
		if !inserted {
			return none, chat.NotFound("conversation") // and it is gone again
		}
		return unchanged(t, c)
	}
	m, err := c.AddMembers(people, func(user chat.UserID) chat.Role { return chat.InitialRole(n.Kind, user == n.By) }, now)
	if err != nil {
		return none, err
	}
	return saveMembers(t, m)
}

// UpdateConversation changes title and topic where they are not nil.
func (c Commands) UpdateConversation(ctx context.Context, id chat.ConversationID, by chat.UserID, title, topic *string) (store.Change, error) {
	return run(ctx, c, "change a conversation", func(t Tx) (none store.Change, err error) {
		c, role, err := lockAs(t, id, by)
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
		if err := t.SaveTitle(after); err != nil {
			return none, err
		}
		return changed(t, after)
	})
}
