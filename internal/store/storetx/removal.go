package storetx

import (
	"context"
	"slices"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

const (
	// disableAtOnce and deleteAtOnce are how many accounts are changed in a step.
	disableAtOnce = store.RemovalWork / 2
	deleteAtOnce  = store.RemovalWork / 4
	// eraseAtOnce is how many conversations are removed in a step, at most.
	eraseAtOnce = store.RemovalWork / 4
	// readsPerChange is how many messages are looked at for the cost of removing
	// one.
	readsPerChange = 10
)

// RemoveBatch does a step of a removal; see the contract.
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

// removal is a step of the removal of a batch. It holds the batch, and takes
// conversations once, in the order of their ids.
type removal struct {
	Tx
	batch Batch
	out   store.Removal
}

// step does some work of the stage. It reports whether there was any.
func (r *removal) step() (did bool, err error) {
	switch r.batch.Stage {
	case chat.DisablingAccounts:
		return r.disable()
	case chat.LeavingConversations:
		// What was begun is ended first: it can be seen no more.
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

// next are accounts of the batch that the stage is not through with; it is now.
func (r *removal) next(limit int) ([]chat.UserID, error) {
	users, err := r.AccountsOf(r.batch, limit)
	if len(users) > 0 {
		r.batch.Reached = users[len(users)-1]
	}
	return users, err
}

func (r *removal) disable() (bool, error) {
	users, err := r.next(disableAtOnce)
	if err != nil || len(users) == 0 {
		return false, err
	}
	r.out.Ended, err = r.DisableAccounts(users)
	return true, err
}

// leave takes accounts out of their conversations.
func (r *removal) leave() (bool, error) {
	places, reached, err := r.LockPlaces(r.batch, store.RemovalWork)
	if err != nil || reached == 0 {
		return false, err
	}
	r.batch.Reached = reached
	var closed, kept []chat.ConversationID
	for i := range places {
		p := &places[i]
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
	if err := r.KeepConversations(r.batch, distinct(kept)); err != nil {
		return false, err
	}
	return true, r.CloseConversations(r.batch, distinct(closed))
}

func distinct(ids []chat.ConversationID) []chat.ConversationID {
	slices.Sort(ids)
	return slices.Compact(ids)
}

// erase removes messages of closed conversations, and those that have none.
func (r *removal) erase() (bool, error) {
	closed, err := r.ClosedConversations(r.batch, eraseAtOnce)
	if err != nil || len(closed) == 0 {
		return false, err
	}
	plan := chat.PlanErasure(closed, store.RemovalWork)
	n, err := r.EraseMessages(plan)
	if err != nil {
		return false, err
	}
	var ended []chat.ConversationID
	for _, m := range plan {
		if m.Last {
			ended = append(ended, m.Conversation)
		} else if err := r.SaveWalk(r.batch, m); err != nil {
			return false, err
		}
	}
	r.out.Messages += n
	r.out.Conversations += len(ended)
	return true, r.DeleteConversations(ended)
}

// findAuthors looks for authors in a conversation that stays. Nobody of the
// batch is in it any more, so no message of theirs can come behind.
func (r *removal) findAuthors() (bool, error) {
	walk, found, err := r.KeptConversation(r.batch)
	if err != nil || !found {
		return false, err
	}
	part := walk.Next(readsPerChange * store.RemovalWork)
	authors, err := r.Authors(part)
	if err != nil {
		return false, err
	}
	if len(authors) > 0 {
		if err := r.ReleaseAccounts(r.batch, authors); err != nil {
			return false, err
		}
	}
	return true, r.SaveWalk(r.batch, part)
}

// deleteAccounts removes accounts that are in no conversation. One that is (a
// direct one cannot be left) is released.
func (r *removal) deleteAccounts() (bool, error) {
	users, err := r.next(deleteAtOnce)
	if err != nil || len(users) == 0 {
		return false, err
	}
	bound, err := r.InConversations(users)
	if err != nil {
		return false, err
	}
	if err := r.ReleaseAccounts(r.batch, bound); err != nil {
		return false, err
	}
	users = slices.DeleteFunc(users, func(u chat.UserID) bool { return slices.Contains(bound, u) })
	r.out.Accounts += len(users)
	return true, r.DeleteAccounts(users)
}
