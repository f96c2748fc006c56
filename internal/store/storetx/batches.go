package storetx

import (
	"context"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// CreateBatchUsers creates accounts of a batch; see the contract.
func (c Commands) CreateBatchUsers(ctx context.Context, batch string, users []store.NewBatchUser) ([]store.BatchUser, error) {
	return run(ctx, c, "create the accounts of a batch", func(t Tx) ([]store.BatchUser, error) {
		b, found, err := t.EnsureBatch(batch)
		switch {
		case err != nil:
			return nil, err
		case !found: // it was removed just now
			return nil, chat.NotFound("batch")
		case b.Stage != chat.BatchInUse:
			return nil, store.BeingRemoved(batch)
		}
		now := t.Now()
		out, accounts, sessions := make([]store.BatchUser, len(users)), make([]chat.User, len(users)), make([]store.Session, len(users))
		for i, u := range users {
			id, err := t.NewID()
			if err != nil {
				return nil, err
			}
			session, err := t.NewID()
			if err != nil {
				return nil, err
			}
			accounts[i] = chat.User{ID: chat.UserID(id), Name: u.Name, DisplayName: u.DisplayName, CreatedAt: now}
			sessions[i] = u.Session
			sessions[i].User, sessions[i].ID = accounts[i].ID, chat.SessionID(session)
			out[i] = store.BatchUser{User: accounts[i], Session: sessions[i].ID}
		}
		taken, err := t.InsertBatchAccounts(b, accounts, users)
		if err != nil {
			return nil, err
		}
		if taken >= 0 {
			return nil, store.NameTaken(users[taken].Name)
		}
		return out, t.InsertSessions(sessions)
	})
}

// CreateBatchConversations creates conversations; see the contract.
func (c Commands) CreateBatchConversations(ctx context.Context, batch string, list []store.NewConversation) ([]store.Change, error) {
	return run(ctx, c, "create the conversations of a batch", func(t Tx) ([]store.Change, error) {
		b, found, err := t.ShareLockBatch(batch)
		if err != nil {
			return nil, err
		}
		if !found {
			return nil, chat.NotFound("batch")
		}
		var all []chat.UserID
		for _, n := range list {
			all = append(all, n.MemberIDs()...)
		}
		outsider, found, err := t.FirstNotInBatch(b, all)
		if err != nil {
			return nil, err
		}
		if found {
			return nil, store.NotInBatch(outsider, batch)
		}
		out := make([]store.Change, len(list))
		for i, n := range list {
			if out[i], err = createConversation(t, n); err != nil {
				return nil, err
			}
		}
		return out, nil
	})
}
