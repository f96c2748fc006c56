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
	maxRemembered = 1 << 20
	// roomLife bounds how long a membership is believed when no news of it
	// comes, in case the news was lost. Workers check every send in any case.
	roomLife = 30 * time.Second
)

// room is the membership of a conversation as of one rev. It never changes.
type room struct {
	rev     int64
	members []chat.UserID // sorted
	loaded  time.Time
}

func (r *room) has(user chat.UserID) bool {
	if r == nil {
		return false
	}
	_, ok := slices.BinarySearch(r.members, user)
	return ok
}

func (r *room) audience(id chat.ConversationID) chat.Audience {
	a := chat.Audience{Conversation: id, MembersRev: r.rev}
	if len(r.members) <= chat.SmallConversation {
		a.Members = r.members
	}
	return a
}

// rooms remembers who is in which conversation, for as long as no news says
// otherwise.
type rooms struct {
	g *Gateway

	mu         sync.Mutex
	known      map[chat.ConversationID]*room
	remembered int // member ids in known
	loads      map[chat.ConversationID]*load
}

// load is a look-up under way.
type load struct {
	done    chan struct{}
	room    *room
	err     error
	least   int64          // rev that news told of meanwhile; what is older is read again
	lost    bool           // news may have been lost since the members were asked for
	waiting []*pubsub.Room // frames for the room, in order
}

func newRooms(g *Gateway) *rooms {
	return &rooms{g: g, known: map[chat.ConversationID]*room{}, loads: map[chat.ConversationID]*load{}}
}

// peek gives the membership when it is at hand.
func (r *rooms) peek(id chat.ConversationID) (*room, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	known, ok := r.known[id]
	if !ok || time.Since(known.loaded) > roomLife {
		return nil, false
	}
	return known, true
}

// CachedMember implements submission.Memberships.
func (r *rooms) CachedMember(user chat.UserID, id chat.ConversationID) (member, known bool) {
	room, known := r.peek(id)
	return room.has(user), known
}

// IsMember implements submission.Memberships.
func (r *rooms) IsMember(ctx context.Context, user chat.UserID, id chat.ConversationID) (bool, error) {
	room, err := r.load(ctx, id)
	if err != nil && chat.CodeOf(err) != chat.CodeNotFound {
		return false, err
	}
	return room.has(user), nil
}

// load gives the membership, from the store when it is not at hand.
func (r *rooms) load(ctx context.Context, id chat.ConversationID) (*room, error) {
	if known, ok := r.peek(id); ok {
		return known, nil
	}
	r.mu.Lock()
	l := r.begin(id, 0)
	r.mu.Unlock()
	select {
	case <-l.done:
		return l.room, l.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// begin joins the look-up under way or starts one. r.mu is held.
func (r *rooms) begin(id chat.ConversationID, least int64) *load {
	l, ok := r.loads[id]
	if !ok {
		l = &load{done: make(chan struct{})}
		if !r.g.background.Go(func() { r.run(id, l) }) {
			l.err = context.Canceled
			close(l.done)
			return l
		}
		r.loads[id] = l
	}
	l.least = max(l.least, least)
	return l
}

func (r *rooms) run(id chat.ConversationID, l *load) {
	for {
		r.mu.Lock()
		l.lost = false
		r.mu.Unlock()
		ctx, cancel := context.WithTimeout(r.g.ctx, callTimeout)
		members, rev, err := r.g.parts.Store.MemberIDs(ctx, id)
		cancel()
		stopped := r.g.ctx.Err()
		if stopped != nil {
			err = stopped // nobody is told, and nothing is asked again
		}
		r.mu.Lock()
		if err == nil && (rev < l.least || l.lost) {
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
			l.room = &room{rev: rev, members: members, loaded: time.Now()}
			r.remember(id, l.room)
		}
		waiting := l.waiting
		l.waiting = nil
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
			r.fanOut(l.room, f.Frame)
		}
	}
}

// remember keeps a membership. r.mu is held.
func (r *rooms) remember(id chat.ConversationID, m *room) {
	r.forget(id)
	for other := range r.known {
		if r.remembered+len(m.members) <= maxRemembered {
			break
		}
		r.forget(other)
	}
	r.known[id] = m
	r.remembered += len(m.members)
}

// forget drops a membership. r.mu is held.
func (r *rooms) forget(id chat.ConversationID) {
	if old, ok := r.known[id]; ok {
		delete(r.known, id)
		r.remembered -= len(old.members)
	}
}

// changed is the news that a membership is another one now.
func (r *rooms) changed(id chat.ConversationID, rev int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if known, ok := r.known[id]; ok && known.rev < rev {
		r.forget(id)
	}
	if l, ok := r.loads[id]; ok {
		l.least = max(l.least, rev)
	}
}

// forgetAll is for when news may have been lost.
func (r *rooms) forgetAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.known)
	r.remembered = 0
	for _, l := range r.loads {
		l.lost = true
	}
}

// deliver hands a frame to the members of a large conversation who are here,
// at once when the membership that it is for is at hand.
func (r *rooms) deliver(f *pubsub.Room) {
	r.mu.Lock()
	l, loading := r.loads[f.Conversation]
	known := r.known[f.Conversation]
	if !loading && known != nil && known.rev >= f.MembersRev && time.Since(known.loaded) <= roomLife {
		r.mu.Unlock()
		r.fanOut(known, f.Frame)
		return
	}
	if !loading {
		l = r.begin(f.Conversation, f.MembersRev)
	}
	l.least = max(l.least, f.MembersRev)
	l.waiting = append(l.waiting, f)
	r.mu.Unlock()
}

func (r *rooms) fanOut(m *room, frame []byte) {
	shared := websocket.NewFrame(frame)
	for _, s := range r.g.hub.among(m.members) {
		s.conn.Send(shared)
	}
}

// resyncAll tells every client that it may have missed something.
func (g *Gateway) resyncAll() {
	frame := websocket.NewFrame(wire.Encode(wire.Resync{T: "resync"}))
	g.hub.each(func(s *session) { s.conn.Send(frame) })
}
