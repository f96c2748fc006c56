package storetx

import (
	"context"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// CreateUser creates an account; see the contract.
func (c Commands) CreateUser(ctx context.Context, u store.NewUser, invitation []byte) (chat.User, error) {
	return run(ctx, c, "create an account", func(t Tx) (none chat.User, err error) {
		used, err := usableInvitation(t, invitation)
		if err != nil {
			return none, err
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
			return none, errNameTaken
		}
		if invitation != nil {
			return out, t.UseInvitation(used.ID)
		}
		return out, nil
	})
}

var errNameTaken = chat.Refuse(chat.CodeNameTaken, "name", "the name, or one that looks like it, is in use")

// usableInvitation finds the invitation with a token, if there is a token, and locks
// it.
func usableInvitation(t Tx, token []byte) (i store.Invitation, err error) {
	if token == nil {
		return i, nil
	}
	i, found, err := t.LockInvitation(token)
	if err == nil && (!found || !i.Usable(t.Now())) {
		err = chat.Refuse(chat.CodeForbidden, "invitation", "the invitation is unknown, expired or used up")
	}
	return i, err
}

// CheckUser refuses what CreateUser would refuse; see the contract.
func (c Commands) CheckUser(ctx context.Context, u store.NewUser, invitation []byte) error {
	_, err := run(ctx, c, "check an account", func(t Tx) (none struct{}, err error) {
		if _, err := usableInvitation(t, invitation); err != nil {
			return none, err
		}
		taken, err := t.NameTaken(u)
		if err == nil && taken {
			err = errNameTaken
		}
		return none, err
	})
	return err
}

// UpdateUser changes an account; see the contract.
func (c Commands) UpdateUser(ctx context.Context, id chat.UserID, change store.UserChange) (chat.User, error) {
	return run(ctx, c, "change an account", func(t Tx) (none chat.User, err error) {
		demotes := (change.Admin != nil && !*change.Admin) || (change.Disabled != nil && *change.Disabled)
		if !demotes {
			return t.UpdateAccount(id, change)
		}
		before, err := t.LockAdministrators()
		if err != nil {
			return none, err
		}
		out, err := t.UpdateAccount(id, change)
		if err != nil {
			return none, err
		}
		after, err := t.LockAdministrators()
		if err == nil && before && !after {
			err = chat.Refuse(chat.CodeConflict, "account", "this is the last administrator; make somebody else one first")
		}
		return out, err
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
