package storetx

import (
	"context"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// CreateUser creates an account; see the contract.
func (c Commands) CreateUser(ctx context.Context, u store.NewUser, invitation []byte) (chat.User, error) {
	return run(ctx, c, "create an account", func(t Tx) (none chat.User, err error) {
		var used store.Invitation
		if invitation != nil {
			var found bool
			if used, found, err = t.LockInvitation(invitation); err != nil {
				return none, err
			}
			if !found || !used.Usable(t.Now()) {
				return none, chat.Refuse(chat.CodeForbidden, "invitation", "the invitation is unknown, expired or used up")
			}
		}
		others, err := t.HasAccounts()
		if err != nil {
			return none, err
		}
		id, err := t.NewID()
		if err != nil {
			return none, err
		}
		out := chat.User{
			ID: chat.UserID(id), Name: u.Name, DisplayName: u.DisplayName, Admin: u.Admin || !others, CreatedAt: t.Now(),
		}
		free, err := t.InsertAccount(out, u)
		if err != nil {
			return none, err
		}
		if !free {
			return none, chat.Refuse(chat.CodeNameTaken, "name", "the name, or one that looks like it, is in use")
		}
		if invitation != nil {
			return out, t.UseInvitation(used.ID)
		}
		return out, nil
	})
}

// CreateInvitation creates an invitation.
func (c Commands) CreateInvitation(ctx context.Context, i store.Invitation) (store.Invitation, error) {
	return run(ctx, c, "create an invitation", func(t Tx) (none store.Invitation, err error) {
		id, err := t.NewID()
		if err != nil {
			return none, err
		}
		out := i.Issued(id)
		return out, t.InsertInvitation(out)
	})
}

// DeleteInvitation deletes an invitation.
func (c Commands) DeleteInvitation(ctx context.Context, id int64) error {
	_, err := run(ctx, c, "delete an invitation", func(t Tx) (none struct{}, err error) {
		found, err := t.DeleteInvitationByID(id)
		if err == nil && !found {
			err = chat.NotFound("invitation")
		}
		return none, err
	})
	return err
}
