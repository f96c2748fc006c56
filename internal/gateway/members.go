package gateway

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/pubsub"
	"github.com/hikyaku-chat/hikyaku/internal/websocket"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

const (
	// maxRemembered bounds the member ids kept, over all rooms: 8 MB.
	maxCachedIDs = 1 << 20
	// roomLife bounds how long a membership is believed when no news of it
	// comes, in case the news was lost. Workers check every send in any case.
	memberListTTL = 30 * time.Second
)

// memberList is the membership of a conversation as of one rev. It never changes.
type memberList struct {
	rev      int64
	ids      []chat.UserID // sorted
	loadedAt time.Time
}

func (r *memberList) has(user chat.UserID) bool {
	if r == nil {
		return false
	}
	_, ok := slices.BinarySearch(r.ids, user)
	return ok
}

func (r *memberList) audience(id chat.ConversationID) chat.Audience {
	a := chat.Audience{Conversation: id, MembersRev: r.rev}
	if len(r.ids) <= chat.SmallConversation {
		a.Members = r.ids
	}
	return a
}

// memberCache remembers who is in which conversation, for as long as no news says
// otherwise.
type memberCache struct {
	g *Gateway

	mu        sync.Mutex
	entries   map[chat.ConversationID]*memberList
	cachedIDs int // member ids in known
	loads     map[chat.ConversationID]*memberLoad
}

// memberLoad is a look-up under way.
type memberLoad struct {
	done    chan struct{}
	list    *memberList
	err     error
	minRev  int64          // rev that news told of meanwhile; what is older is read again
	stale   bool           // news may have been lost since the members were asked for
	pending []*pubsub.Room // frames for the room, in order
}

func newMemberCache(g *Gateway) *memberCache {
	return &memberCache{g: g, entries: map[chat.ConversationID]*memberList{}, loads: map[chat.ConversationID]*memberLoad{}}
}

// get gives the membership when it is at hand.
func (r *memberCache) get(id chat.ConversationID) (*memberList, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	known, ok := r.entries[id]
	if !ok || time.Since(known.loadedAt) > memberListTTL {
		return nil, false
	}
	return known, true
}

// load gives the membership, from the store when it is not at hand.
func (r *memberCache) load(ctx context.Context, id chat.ConversationID) (*memberList, error) {
	if known, ok := r.get(id); ok {
		return known, nil
	}
	r.mu.Lock()
	l := r.startLoad(id, 0)
	r.mu.Unlock()
	select {
	case <-l.done:
		return l.list, l.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// startLoad joins the look-up under way or starts one. r.mu is held.
func (r *memberCache) startLoad(id chat.ConversationID, least int64) *memberLoad {
	l, ok := r.loads[id]
	if !ok {
		l = &memberLoad{done: make(chan struct{})}
		if !r.g.background.Go(func() { r.runLoad(id, l) }) {
			l.err = context.Canceled
			close(l.done)
			return l
		}
		r.loads[id] = l
	}
	l.minRev = max(l.minRev, least)
	return l
}

func (r *memberCache) runLoad(id chat.ConversationID, l *memberLoad) {
	for {
		r.mu.Lock()
		l.stale = false
		r.mu.Unlock()
		ctx, cancel := context.WithTimeout(r.g.ctx, callTimeout)
		members, rev, err := r.g.deps.Store.MemberIDs(ctx, id)
		cancel()
		stopped := r.g.ctx.Err()
		if stopped != nil {
			err = stopped // nobody is told, and nothing is asked again
		}
		r.mu.Lock()
		if err == nil && (rev < l.minRev || l.stale) {
			// A read that is older than the news (a replica's), or may be
			// older than news that never came, must not be believed.
			r.mu.Unlock()
			select {
			case <-r.g.ctx.Done():
			case <-time.After(20 * time.Millisecond):
			}
			continue
		}
		l.err = err
		if err == nil {
			l.list = &memberList{rev: rev, ids: members, loadedAt: time.Now()}
			r.put(id, l.list)
		}
		waiting := l.pending
		l.pending = nil
		if len(waiting) == 0 || stopped != nil {
			delete(r.loads, id)
			close(l.done)
			r.mu.Unlock()
			return
		}
		r.mu.Unlock()
		// Frames that come while these are handed out wait behind them.
		for _, f := range waiting {
			if chat.CodeOf(err) == chat.CodeNotFound {
				break // the conversation was removed, and nobody is in it
			}
			if err != nil {
				r.g.log.Error("members could not be looked up; devices will catch up", "conversation", id, "error", err)
				r.g.resyncAll()
				break
			}
			r.fanOut(l.list, f.Frame)
		}
	}
}

// put keeps a membership. r.mu is held.
func (r *memberCache) put(id chat.ConversationID, m *memberList) {
	r.remove(id)
	for other := range r.entries {
		if r.cachedIDs+len(m.ids) <= maxCachedIDs {
			break
		}
		r.remove(other)
	}
	r.entries[id] = m
	r.cachedIDs += len(m.ids)
}

// remove drops a membership. r.mu is held.
func (r *memberCache) remove(id chat.ConversationID) {
	if old, ok := r.entries[id]; ok {
		delete(r.entries, id)
		r.cachedIDs -= len(old.ids)
	}
}

// invalidate is the news that a membership is another one now.
func (r *memberCache) invalidate(id chat.ConversationID, rev int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if known, ok := r.entries[id]; ok && known.rev < rev {
		r.remove(id)
	}
	if l, ok := r.loads[id]; ok {
		l.minRev = max(l.minRev, rev)
	}
}

// invalidateAll is for when news may have been lost.
func (r *memberCache) invalidateAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.entries)
	r.cachedIDs = 0
	for _, l := range r.loads {
		l.stale = true
	}
}

// deliver hands a frame to the members of a large conversation who are here,
// at once when the membership that it is for is at hand.
func (r *memberCache) deliver(f *pubsub.Room) {
	r.mu.Lock()
	l, loading := r.loads[f.Conversation]
	known := r.entries[f.Conversation]
	if !loading && known != nil && known.rev >= f.MembersRev && time.Since(known.loadedAt) <= memberListTTL {
		r.mu.Unlock()
		r.fanOut(known, f.Frame)
		return
	}
	if !loading {
		l = r.startLoad(f.Conversation, f.MembersRev)
	}
	l.minRev = max(l.minRev, f.MembersRev)
	l.pending = append(l.pending, f)
	r.mu.Unlock()
}

func (r *memberCache) fanOut(m *memberList, frame []byte) {
	shared := websocket.NewFrame(frame)
	for _, s := range r.g.hub.sessionsOfMembers(m.ids) {
		s.conn.Send(shared)
	}
}

// resyncAll tells every client that it may have missed something.
func (g *Gateway) resyncAll() {
	frame := websocket.NewFrame(wire.Encode(wire.Resync{T: "resync"}))
	g.hub.each(func(s *session) { s.conn.Send(frame) })
}
