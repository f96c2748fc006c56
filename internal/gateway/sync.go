package gateway

import (
	"cmp"
	"context"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

const (
	syncLimit    = 100 // entries of a page when the client gives no limit
	maxSyncLimit = 200
	// maxSyncBytes limits the JSON of a page. A page has one entry at least.
	maxSyncBytes = 256 << 10
	// maxSyncs is how many syncs of one connection may wait.
	maxSyncs = 256
)

// syncBytes is the limit of a page that leaves room for others in the queue of a
// connection.
func (s *session) syncBytes() int { return min(maxSyncBytes, s.g.cfg.MaxQueued/4) }

// syncPurpose is the purpose that cursors are sealed for.
const syncPurpose = "sync"

// pacedSync is a sync that waits.
type pacedSync struct {
	*wire.Sync
	at time.Duration // it is answered then at the earliest, since costs.epoch
}

// sync answers a sync after those before it. It does not block: an answer waits
// until the client has read most of what it was sent before, and the frames that
// follow the sync must not.
func (s *session) sync(f pacedSync) {
	s.heartbeat.active()
	s.mu.Lock()
	waiting := len(s.syncs)
	if waiting < maxSyncs {
		s.syncs = append(s.syncs, f)
	}
	s.mu.Unlock()
	switch {
	case waiting == 0:
		s.g.background.Go(s.runSyncs)
	case waiting >= maxSyncs:
		s.sendRetryableError(f.ID, chat.CodeRateLimited, overflowText)
	}
}

// runSyncs answers the waiting syncs, in their order, until there are none. A
// device that returns after a long time has much to ask: it is slowed down to what its
// budget pays for, not refused. A client may ask for many pages at once, and the store
// answers faster than a network carries them: what it asked for must not make it
// too slow a reader.
func (s *session) runSyncs() {
	for {
		s.mu.Lock()
		f := s.syncs[0] // kept until it is answered: it says that this runs
		s.mu.Unlock()
		if pause := f.at - s.g.costs.now(); pause > 0 {
			sleep(s.g.drainCtx, pause)
		}
		if s.conn.AwaitQueued(s.g.drainCtx, s.g.cfg.MaxQueued/2) == nil {
			ctx, cancel := context.WithTimeout(s.g.ctx, callTimeout)
			s.answerSync(ctx, f.Sync)
			cancel()
		}
		s.mu.Lock()
		s.syncs = s.syncs[1:]
		done := len(s.syncs) == 0
		if done {
			s.syncs = nil
		}
		s.mu.Unlock()
		if done {
			return
		}
	}
}

func (s *session) answerSync(ctx context.Context, f *wire.Sync) {
	limit := min(cmp.Or(f.Limit, syncLimit), maxSyncLimit)
	var err error
	if f.Conversation != 0 {
		err = s.syncMessages(ctx, f, limit)
	} else {
		err = s.syncConversations(ctx, f, limit)
	}
	if err == nil {
		return
	}
	if s.g.ctx.Err() != nil {
		return // the gateway has stopped, and the connection is closed
	}
	if code := chat.CodeOf(err); code != "" {
		s.sendError(f.ID, code, err.Error())
		return
	}
	s.g.log.Error("a sync failed", "user", s.user, "error", err)
	s.sendRetryableError(f.ID, chat.CodeUnavailable, "the server cannot look now; ask again")
}

func (s *session) syncConversations(ctx context.Context, f *wire.Sync, limit int) error {
	var after store.Position
	if f.Cursor != "" {
		if err := s.g.deps.Cursors.Open(syncPurpose, s.user, f.Cursor, &after); err != nil {
			return err
		}
	}
	page, next, more, err := s.g.deps.Store.Changed(ctx, s.user, after, limit)
	if err != nil {
		return err
	}
	failed, err := s.g.deps.Store.Failures(ctx, s.user, after)
	if err != nil {
		return err
	}
	peers, err := s.peers(ctx, page)
	if err != nil {
		return err
	}
	out := wire.Synced{
		T: "synced", ID: f.ID, Conversations: make([]wire.Summary, 0, len(page)), Gone: []chat.ConversationID{},
		Failed: make([]wire.Failure, len(failed)), More: more,
	}
	for i := range failed {
		out.Failed[i] = wire.FailureOf(&failed[i])
	}
	size := wire.FailureBytes * len(failed)
	for i := range page {
		c := &page[i]
		var summary wire.Summary
		if c.Gone {
			size += wire.GoneBytes
		} else {
			summary = wire.SummaryOf(&c.Summary, peers[c.Peer])
			size += summary.MaxSize()
		}
		if size > s.syncBytes() && i > 0 {
			next, out.More = page[i-1].Next, true
			break
		}
		if c.Gone {
			out.Gone = append(out.Gone, c.ID)
		} else {
			out.Conversations = append(out.Conversations, summary)
		}
	}
	out.Cursor = s.g.deps.Cursors.Seal(syncPurpose, s.user, next)
	s.push(out)
	return nil
}

// peers looks up the other users of direct conversations.
func (s *session) peers(ctx context.Context, page []store.ChangedConversation) (map[chat.UserID]*chat.User, error) {
	var ids []chat.UserID
	for i := range page {
		if page[i].Peer != 0 {
			ids = append(ids, page[i].Peer)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	users, err := s.g.deps.Store.Users(ctx, ids)
	if err != nil {
		return nil, err
	}
	found := make(map[chat.UserID]*chat.User, len(users))
	for i := range users {
		found[users[i].ID] = &users[i]
	}
	return found, nil
}

func (s *session) syncMessages(ctx context.Context, f *wire.Sync, limit int) error {
	page, head, err := s.g.deps.Store.Changes(ctx, f.Conversation, s.user, f.Rev, limit)
	if err != nil {
		return err
	}
	out := wire.Changes{T: "changes", ID: f.ID, Conversation: f.Conversation, Rev: f.Rev, More: len(page) == limit, Messages: []wire.Message{}}
	size := 0
	for i := range page {
		m := wire.MessageOf(&page[i])
		if size += m.MaxSize(); size > s.syncBytes() && i > 0 {
			out.More = true
			break
		}
		out.Messages = append(out.Messages, m)
		out.Rev = page[i].Rev
	}
	if !out.More {
		out.Rev = max(f.Rev, head)
	}
	s.push(out)
	return nil
}
