package gateway

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/circuitbreaker"
	"github.com/hikyaku-chat/hikyaku/internal/pubsub"
	"github.com/hikyaku-chat/hikyaku/internal/websocket"
)

const (
	// maxCachedIDs is the maximum number of cached member ids of all
	// conversations together: 8 MB.
	maxCachedIDs = 1 << 20
	// memberListTTL is how long a list is used without an invalidation, in
	// case the invalidation was lost. Workers check every send in any case.
	memberListTTL = 30 * time.Second
	// memberListMemory is how long a list is used, counted from when it was read,
	// while the store does not answer, so that people go on talking. Announced
	// changes apply to it all the same, and it goes with the others when
	// announcements were lost.
	memberListMemory = 5 * time.Minute
	// lookUpPatience is how long a store that answers nothing is waited for.
	lookUpPatience = time.Second
	// maxLoadChanges is how many changes of membership that are announced during
	// a look-up are kept, to be applied to its answer.
	maxLoadChanges = 1024
	// maxLoadFrames is how many bytes of frames may wait for a look-up.
	maxLoadFrames = 4 << 20
)

// memberCache is the gateway's cache of the members of conversations, with which
// it authorises sends and delivers frames of large conversations. Announced changes
// of membership are applied to entries, and to the answers of look-ups in progress;
// an entry that misses one is removed. So people who come and go cost no look-up,
// however large the conversation is. While the store does not answer, lists count
// for longer (memberListMemory). It is safe for concurrent use.
type memberCache struct {
	g     *Gateway
	store *circuitbreaker.Breaker

	mu        sync.Mutex
	entries   map[chat.ConversationID]*memberList
	cachedIDs int // member ids in entries
	loads     map[chat.ConversationID]*memberLoad
}

// memberLoad is a running look-up of a conversation's members.
type memberLoad struct {
	done    chan struct{}
	list    *memberList
	err     error
	minRev  int64                // latest announced MembersRev; an older answer is discarded
	stale   bool                 // announcements may have been lost since the look-up began
	changes []*pubsub.Membership // announced since the look-up began, the latest
	pending []delivery           // in order
	queued  bool                 // frames have waited for it
	bytes   int                  // in pending
}

// delivery is a frame for the members of a conversation.
type delivery struct {
	rev   int64         // MembersRev that the list of members must have at least
	to    []chat.UserID // those who are members of these; nil for all members
	frame []byte
}

func newMemberCache(g *Gateway) *memberCache {
	return &memberCache{
		g: g, entries: map[chat.ConversationID]*memberList{}, loads: map[chat.ConversationID]*memberLoad{},
		store: circuitbreaker.New(g.log, "members cannot be looked up; the gateway goes by what it remembers", "members can be looked up again"),
	}
}

// get returns the cached members of a conversation. It does not block.
func (c *memberCache) get(id chat.ConversationID) (*memberList, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := c.usable(id, time.Now())
	return list, list != nil
}

// usable returns the cached members of a conversation, nil when they must be looked
// up. While the store does not answer, it begins a look-up now and then, which finds
// out whether it still does not. c.mu must be held.
func (c *memberCache) usable(id chat.ConversationID, now time.Time) *memberList {
	list := c.entries[id]
	switch {
	case list == nil:
		return nil
	case now.Sub(list.loadedAt) <= memberListTTL:
		return list
	case !c.store.Failing() || now.Sub(list.loadedAt) > memberListMemory:
		return nil
	}
	if c.store.Allow(now) {
		c.startLoad(id, 0)
	}
	return list
}

// remembered returns the cached members of a conversation for when the store has not
// answered, nil if there are none.
func (c *memberCache) remembered(id chat.ConversationID) *memberList {
	c.mu.Lock()
	defer c.mu.Unlock()
	if list := c.entries[id]; list != nil && time.Since(list.loadedAt) <= memberListMemory {
		return list
	}
	return nil
}

// IsCachedMember implements submission.Memberships.
func (c *memberCache) IsCachedMember(user chat.UserID, id chat.ConversationID) (member, cached bool) {
	list, cached := c.get(id)
	return list.has(user), cached
}

// IsMember implements submission.Memberships.
func (c *memberCache) IsMember(ctx context.Context, user chat.UserID, id chat.ConversationID) (bool, error) {
	list, err := c.load(ctx, id)
	if err != nil && chat.CodeOf(err) != chat.CodeNotFound {
		return false, err
	}
	return list.has(user), nil
}

// load returns the members of a conversation, from the store when they are not
// cached, and as they are remembered when it does not answer.
func (c *memberCache) load(ctx context.Context, id chat.ConversationID) (*memberList, error) {
	if list, ok := c.get(id); ok {
		return list, nil
	}
	var l *memberLoad
	err := c.store.Await(ctx, lookUpPatience, func() <-chan struct{} {
		c.mu.Lock()
		defer c.mu.Unlock()
		l = c.startLoad(id, 0)
		return l.done
	})
	if err == nil {
		err = l.err
	}
	switch {
	case err == nil:
		return l.list, nil
	case chat.CodeOf(err) == chat.CodeNotFound, ctx.Err() != nil:
		return nil, err
	}
	if list := c.remembered(id); list != nil {
		return list, nil
	}
	return nil, err
}

// startLoad returns the running look-up of a conversation, or starts one. c.mu
// must be held.
func (c *memberCache) startLoad(id chat.ConversationID, minRev int64) *memberLoad {
	l, ok := c.loads[id]
	if !ok {
		l = &memberLoad{done: make(chan struct{})}
		if !c.g.background.Go(func() { c.runLoad(id, l) }) {
			l.err = context.Canceled
			close(l.done)
			return l
		}
		c.loads[id] = l
	}
	l.minRev = max(l.minRev, minRev)
	return l
}

func (c *memberCache) runLoad(id chat.ConversationID, l *memberLoad) {
	for {
		c.mu.Lock()
		l.stale = false
		c.mu.Unlock()
		ctx, cancel := context.WithTimeout(c.g.ctx, callTimeout)
		members, rev, err := c.g.deps.Store.MemberIDs(ctx, id)
		cancel()
		stopped := c.g.ctx.Err()
		switch {
		case stopped != nil:
			err = stopped // no resync and no retry when the gateway stops
		case chat.CodeOf(err) == chat.CodeNotFound:
			c.store.Record(time.Now(), nil)
		default:
			c.store.Record(time.Now(), err)
		}
		c.mu.Lock()
		var list *memberList
		if err == nil {
			list = l.applyChanges(newMemberList(rev, members, time.Now()))
		}
		if err == nil && (list.rev < l.minRev || l.stale) {
			// The answer is older than an announced change (read from a
			// replica), or may be older than an announcement that was lost.
			c.mu.Unlock()
			select {
			case <-c.g.ctx.Done():
			case <-time.After(20 * time.Millisecond):
			}
			continue
		}
		l.err = err
		switch {
		case err == nil:
			l.list = list
			c.put(id, l.list)
		case chat.CodeOf(err) == chat.CodeNotFound:
			c.remove(id)
		}
		pending := l.pending
		l.pending, l.bytes = nil, 0
		if len(pending) == 0 || stopped != nil {
			delete(c.loads, id)
			close(l.done)
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		// Frames that arrive while these are delivered are queued behind them.
		for _, f := range pending {
			if chat.CodeOf(err) == chat.CodeNotFound {
				break // the conversation was removed and has no members
			}
			if err != nil {
				c.g.log.Error("members could not be looked up; all clients are asked to resync", "conversation", id, "error", err)
				c.g.Resync()
				break
			}
			c.fanOut(l.list, f)
		}
	}
}

// put caches a list, and evicts others when there are too many ids. c.mu must be
// held.
func (c *memberCache) put(id chat.ConversationID, m *memberList) {
	c.remove(id)
	for other := range c.entries {
		if c.cachedIDs+m.size <= maxCachedIDs {
			break
		}
		c.remove(other)
	}
	c.entries[id] = m
	c.cachedIDs += m.size
}

// remove removes an entry. c.mu must be held.
func (c *memberCache) remove(id chat.ConversationID) {
	if old, ok := c.entries[id]; ok {
		delete(c.entries, id)
		c.cachedIDs -= old.size
	}
}

// changed handles that the members of a conversation changed: entries and answers
// of before are changed, or not used any more.
func (c *memberCache) changed(m *pubsub.Membership) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l, ok := c.loads[m.Conversation]; ok {
		l.minRev = max(l.minRev, m.MembersRev)
		if len(l.changes) == maxLoadChanges {
			l.changes = l.changes[1:]
		}
		l.changes = append(l.changes, m)
	}
	list, ok := c.entries[m.Conversation]
	if !ok || list.rev >= m.MembersRev {
		return
	}
	if list, ok := list.changed(m); ok && time.Since(list.loadedAt) <= memberListMemory {
		c.put(m.Conversation, list)
		return
	}
	c.remove(m.Conversation)
}

// applyChanges returns the list after the announced changes that follow it without
// a gap.
func (l *memberLoad) applyChanges(list *memberList) *memberList {
	slices.SortFunc(l.changes, func(a, b *pubsub.Membership) int { return cmp.Compare(a.MembersRev, b.MembersRev) })
	for _, m := range l.changes {
		if next, ok := list.changed(m); ok {
			list = next
		}
	}
	return list
}

// invalidateAll removes all entries, because announcements may have been lost.
func (c *memberCache) invalidateAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.entries)
	c.cachedIDs = 0
	for _, l := range c.loads {
		l.stale = true
	}
}

// deliver sends a frame to the members of a conversation who are connected to this
// gateway. When their list is not cached, it queues the frame and loads the list.
// It does not block.
func (c *memberCache) deliver(id chat.ConversationID, f delivery) {
	c.mu.Lock()
	list := c.usable(id, time.Now())
	l, loading := c.loads[id]
	// What waits for a look-up goes first, but not when that may not end soon.
	waits := loading && (l.queued || !c.store.Failing())
	if list != nil && list.rev >= f.rev && !waits {
		c.mu.Unlock()
		c.fanOut(list, f)
		return
	}
	if !loading {
		l = c.startLoad(id, f.rev)
	}
	l.minRev, l.queued = max(l.minRev, f.rev), true
	fits := l.bytes+len(f.frame) <= maxLoadFrames || len(l.pending) == 0
	if fits {
		l.pending, l.bytes = append(l.pending, f), l.bytes+len(f.frame)
	} else {
		l.pending, l.bytes = nil, 0
	}
	c.mu.Unlock()
	if !fits {
		c.g.log.Error("too many frames wait for a conversation's members; all clients are asked to resync", "conversation", id)
		c.g.Resync()
	}
}

func (c *memberCache) fanOut(m *memberList, f delivery) {
	shared := websocket.NewFrame(f.frame)
	if f.to != nil {
		for _, user := range f.to {
			if !m.has(user) {
				continue
			}
			for _, s := range c.g.hub.sessionsOf(user) {
				s.conn.Send(shared)
			}
		}
		return
	}
	websocket.Broadcast(c.g.hub.connsOfMembers(m), shared)
}
