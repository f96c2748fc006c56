package gateway

import (
	"cmp"
	"context"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

const (
	syncLimit    = 100 // entries of a page when the client gives no limit
	maxSyncLimit = 200
	// maxSyncBytes limits the text of a page of messages, so that 200 of the
	// longest do not fill the connection's queue.
	maxSyncBytes = 256 << 10
)

// syncPurpose is the purpose that cursors are sealed for.
const syncPurpose = "sync"

func (s *session) sync(ctx context.Context, f *wire.Sync) {
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
	if code := chat.CodeOf(err); code != "" {
		s.sendError(f.ID, code, err.Error())
		return
	}
	s.g.log.Error("a sync failed", "user", s.user, "error", err)
	s.sendError(f.ID, chat.CodeUnavailable, "the server cannot look now; ask again")
}

func (s *session) syncConversations(ctx context.Context, f *wire.Sync, limit int) error {
	var after store.Position
	if f.Cursor != "" {
		if err := s.g.deps.Cursors.Open(syncPurpose, s.user, f.Cursor, &after); err != nil {
			return err
		}
	}
	page, gone, next, more, err := s.g.deps.Store.Changed(ctx, s.user, after, limit)
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
		T: "synced", ID: f.ID, Conversations: make([]wire.Summary, len(page)), Gone: gone,
		Failed: make([]wire.Failure, len(failed)),
		Cursor: s.g.deps.Cursors.Seal(syncPurpose, s.user, next), More: more,
	}
	for i := range failed {
		out.Failed[i] = wire.FailureOf(&failed[i])
	}
	if out.Gone == nil {
		out.Gone = []chat.ConversationID{}
	}
	for i := range page {
		out.Conversations[i] = wire.SummaryOf(&page[i], peers[page[i].Peer])
	}
	s.push(out)
	return nil
}

// peers looks up the other users of direct conversations.
func (s *session) peers(ctx context.Context, page []chat.Summary) (map[chat.UserID]*chat.User, error) {
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
	page, err := s.g.deps.Store.Changes(ctx, f.Conversation, s.user, f.Rev, limit)
	if err != nil {
		return err
	}
	out := wire.Changes{T: "changes", ID: f.ID, Conversation: f.Conversation, Rev: f.Rev, More: len(page) == limit, Messages: []wire.Message{}}
	size := 0
	for i := range page {
		if size += len(page[i].Body); size > maxSyncBytes && i > 0 {
			out.More = true
			break
		}
		out.Messages = append(out.Messages, wire.MessageOf(&page[i]))
		out.Rev = page[i].Rev
	}
	s.push(out)
	return nil
}
