package storetx

import (
	"context"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// lockForLinks locks a conversation for a user who manages its links.
func lockForLinks(t Tx, id chat.ConversationID, by chat.UserID) error {
	c, role, err := lockAsMember(t, id, by)
	if err != nil {
		return err
	}
	return chat.CheckLinks(c.Kind, role)
}

// CreateLink creates a link; see the contract.
func (c Commands) CreateLink(ctx context.Context, l store.Link) (store.Link, error) {
	return run(ctx, c, "create a link", func(t Tx) (none store.Link, err error) {
		if err := lockForLinks(t, l.Conversation, l.CreatedBy); err != nil {
			return none, err
		}
		id, err := t.NewID()
		if err != nil {
			return none, err
		}
		out := store.Link{Invitation: l.Issued(id), Conversation: l.Conversation}
		return out, t.InsertLink(out)
	})
}

// DeleteLink deletes a link.
func (c Commands) DeleteLink(ctx context.Context, id chat.ConversationID, by chat.UserID, link int64) error {
	_, err := run(ctx, c, "delete a link", func(t Tx) (none struct{}, err error) {
		if err := lockForLinks(t, id, by); err != nil {
			return none, err
		}
		found, err := t.DeleteConversationLink(id, link)
		if err == nil && !found {
			err = chat.NotFound("link")
		}
		return none, err
	})
	return err
}

// JoinByLink adds by and counts the use. For a member the link is not checked:
// the answer to a repeated call must not depend on whether the first call took
// the last use.
func (c Commands) JoinByLink(ctx context.Context, token []byte, by chat.UserID, now time.Time) (store.Change, error) {
	return run(ctx, c, "join by a link", func(t Tx) (none store.Change, err error) {
		l, found, err := t.FindLink(token)
		if err != nil {
			return none, err
		}
		if !found {
			return none, chat.NotFound("link")
		}
		// The conversation is locked first, as everywhere.
		c, err := t.LockConversation(l.Conversation)
		if err != nil {
			return none, err
		}
		if l, found, err = t.LockLink(token); err != nil {
			return none, err
		}
		role, err := t.Role(c.ID, by)
		switch {
		case err != nil:
			return none, err
		case role.MayPost():
			return unchanged(t, c)
		case !found || !l.Usable(now):
			return none, chat.NotFound("link")
		}
		out, err := addMembers(t, c, []chat.UserID{by})
		if err != nil {
			return none, err
		}
		return out, t.UseLink(l.ID)
	})
}
