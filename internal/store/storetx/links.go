package storetx

import (
	"context"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// lockLinks locks a conversation for someone who handles its links.
func lockLinks(t Tx, id chat.ConversationID, by chat.UserID) error {
	c, role, err := lockAs(t, id, by)
	if err != nil {
		return err
	}
	return chat.CheckLinks(c.Kind, role)
}

// CreateLink keeps a link that its maker may make.
func (c Commands) CreateLink(ctx context.Context, l store.Link) (store.Link, error) {
	return run(ctx, c, "create a link", func(t Tx) (none store.Link, err error) {
		if err := lockLinks(t, l.Conversation, l.CreatedBy); err != nil {
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

// DeleteLink ends a link.
func (c Commands) DeleteLink(ctx context.Context, id chat.ConversationID, by chat.UserID, link int64) error {
	_, err := run(ctx, c, "end a link", func(t Tx) (none struct{}, err error) {
		if err := lockLinks(t, id, by); err != nil {
			return none, err
		}
		found, err := t.DeleteLinkOf(id, link)
		if err == nil && !found {
			err = chat.NotFound("link")
		}
		return none, err
	})
	return err
}

// JoinByLink puts by in and counts the use. A member is not asked whether the
// link is still good: the answer to a repeated call must not depend on whether
// the first one took the last use.
func (c Commands) JoinByLink(ctx context.Context, token []byte, by chat.UserID, now time.Time) (store.Change, error) {
	return run(ctx, c, "join by a link", func(t Tx) (none store.Change, err error) {
		l, found, err := t.FindLink(token)
		if err != nil {
			return none, err
		}
		if !found {
			return none, chat.NotFound("link")
		}
		// The conversation's lock first, as everywhere.
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
		out, err := admit(t, c, []chat.UserID{by})
		if err != nil {
			return none, err
		}
		return out, t.UseLink(l.ID)
	})
}
