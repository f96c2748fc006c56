package storetx

import (
	"context"
	"slices"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

const (
	// disableLimit and deleteLimit are how many accounts a step changes at most.
	disableLimit = store.RemovalStepRows / 2
	deleteLimit  = store.RemovalStepRows / 4
	// eraseLimit is how many conversations a step removes at most.
	eraseLimit = store.RemovalStepRows / 4
	// readsPerDelete is how many messages can be read for the cost of removing
	// one.
	readsPerDelete = 10
)

// RemoveBatch performs a step of a removal; see the contract.
func (c Commands) RemoveBatch(ctx context.Context, name string) (store.Removal, error) {
	return run(ctx, c, "remove a batch", func(t Tx) (none store.Removal, err error) {
		b, found, err := t.LockBatch(name)
		if err != nil {
			return none, err
		}
		if !found {
			return none, chat.NotFound("batch")
		}
		r := &removal{Tx: t, batch: b, out: store.Removal{Ended: map[chat.UserID][]chat.SessionID{}}}
		for {
			did, err := r.step()
			switch {
			case err != nil:
				return none, err
			case did:
				return r.out, t.SaveBatch(r.batch)
			case r.batch.Stage == chat.DeletingAccounts:
				r.out.Done = true
				return r.out, t.DeleteBatch(r.batch)
			}
			r.batch.Stage, r.batch.Reached = r.batch.Stage+1, 0
		}
	})
}

// removal is a step of the removal of a batch. It has locked the batch, and locks
// conversations only once, in the order of their ids.
type removal struct {
	Tx
	batch Batch
	out   store.Removal
}

// step does part of the work of the stage. It reports whether there was any.
func (r *removal) step() (did bool, err error) {
	switch r.batch.Stage {
	case chat.DisablingAccounts:
		return r.disable()
	case chat.LeavingConversations:
		// What was begun is finished first: nobody can see it any more.
		if did, err = r.erase(); err != nil || did {
			return did, err
		}
		return r.leave()
	case chat.FindingAuthors:
		return r.findAuthors()
	case chat.DeletingAccounts:
		return r.deleteAccounts()
	case chat.BatchInUse:
	}
	return false, nil
}

// nextAccounts returns accounts of the batch that the stage has not handled, and
// records them as handled.
func (r *removal) nextAccounts(limit int) ([]chat.UserID, error) {
	users, err := r.NextAccounts(r.batch, limit)
	if len(users) > 0 {
		r.batch.Reached = users[len(users)-1]
	}
	return users, err
}

func (r *removal) disable() (bool, error) {
	users, err := r.nextAccounts(disableLimit)
	if err != nil || len(users) == 0 {
		return false, err
	}
	r.out.Ended, err = r.DisableAccounts(users)
	return true, err
}

// leave removes accounts from their conversations.
func (r *removal) leave() (bool, error) {
	memberships, reached, err := r.LockMembershipsOfBatch(r.batch, store.RemovalStepRows)
	if err != nil || reached == 0 {
		return false, err
	}
	r.batch.Reached = reached
	var closed, kept []chat.ConversationID
	for i := range memberships {
		p := &memberships[i]
		if p.ClosesConversation() {
			closed = append(closed, p.Conversation)
		}
		if !p.LeavesConversation() {
			continue
		}
		kept = append(kept, p.Conversation)
		if p.Role == "" {
			continue
		}
		out, err := removeMember(r, p.Conversation, p.User, p.User)
		if err != nil {
			return false, err
		}
		r.out.Departures = append(r.out.Departures, store.Departure{User: p.User, Change: out})
	}
	if err := r.RecordKeptConversations(r.batch, sortUnique(kept)); err != nil {
		return false, err
	}
	return true, r.CloseConversations(r.batch, sortUnique(closed))
}

func sortUnique(ids []chat.ConversationID) []chat.ConversationID {
	slices.Sort(ids)
	return slices.Compact(ids)
}

// erase removes messages of closed conversations, and closed conversations that
// have no messages.
func (r *removal) erase() (bool, error) {
	closed, err := r.LockClosedConversations(r.batch, eraseLimit)
	if err != nil || len(closed) == 0 {
		return false, err
	}
	plan := chat.PlanErasure(closed, store.RemovalStepRows)
	n, err := r.EraseMessages(plan)
	if err != nil {
		return false, err
	}
	var ended []chat.ConversationID
	for _, m := range plan {
		if m.Last {
			ended = append(ended, m.Conversation)
		} else if err := r.SaveProgress(r.batch, m); err != nil {
			return false, err
		}
	}
	r.out.Messages += n
	r.out.Conversations += len(ended)
	return true, r.DeleteConversations(ended)
}

// findAuthors looks for authors in a conversation that remains. No user of the
// batch is a member any more, so no further message of theirs can follow.
func (r *removal) findAuthors() (bool, error) {
	walk, found, err := r.NextKeptConversation(r.batch)
	if err != nil || !found {
		return false, err
	}
	part := walk.Next(readsPerDelete * store.RemovalStepRows)
	authors, err := r.Authors(part)
	if err != nil {
		return false, err
	}
	if len(authors) > 0 {
		if err := r.ReleaseAccounts(r.batch, authors); err != nil {
			return false, err
		}
	}
	return true, r.SaveProgress(r.batch, part)
}

// deleteAccounts removes accounts that are in no conversation. An account that
// still is (nobody can leave a direct conversation) is released from the batch.
func (r *removal) deleteAccounts() (bool, error) {
	users, err := r.nextAccounts(deleteLimit)
	if err != nil || len(users) == 0 {
		return false, err
	}
	inUse, err := r.InConversations(users)
	if err != nil {
		return false, err
	}
	if err := r.ReleaseAccounts(r.batch, inUse); err != nil {
		return false, err
	}
	users = slices.DeleteFunc(users, func(u chat.UserID) bool { return slices.Contains(inUse, u) })
	r.out.Accounts += len(users)
	return true, r.DeleteAccounts(users)
}
