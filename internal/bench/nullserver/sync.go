package nullserver

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/websocket"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// syncLimit is how many messages an answer contains at most.
const syncLimit = 100

// sync answers a sync request.
func (s *session) sync(c *websocket.Conn, p []byte) {
	var f wire.Sync
	if err := json.Unmarshal(p, &f); err != nil {
		return
	}
	if faults := s.server.faults; faults != nil {
		n := int(s.server.syncs.Add(1))
		if applies(faults.Ignore, n) {
			return
		}
		if applies(faults.Refuse, n) {
			c.Send(websocket.NewFrame(wire.Encode(wire.ErrorFrame{T: "error", ID: f.ID, Code: string(chat.CodeUnavailable), Text: "ask again"})))
			return
		}
		if applies(faults.Limit, n) {
			c.Send(websocket.NewFrame(wire.Encode(wire.ErrorFrame{T: "error", Code: string(chat.CodeRateLimited), Text: "too many frames"})))
			return
		}
	}
	if f.Conversation == 0 {
		c.Send(websocket.NewFrame(wire.Encode(s.server.list(s.user, f.ID, f.Cursor))))
		return
	}
	room := s.server.room(int64(f.Conversation))
	if room == nil || f.Rev < 0 {
		c.Send(websocket.NewFrame(wire.Encode(wire.ErrorFrame{T: "error", ID: f.ID, Code: string(chat.CodeNotFound), Text: "there is no such conversation"})))
		return
	}
	room.mu.Lock()
	defer room.mu.Unlock()
	end := int64(len(room.stored))
	from := min(f.Rev, end)
	to := min(from+syncLimit, end)
	c.Send(websocket.NewFrame(wire.Encode(wire.Changes{
		T: "changes", ID: f.ID, Conversation: room.id, Messages: room.page(room.stored, from, to), Rev: to, More: to < end,
	})))
}

// list returns the conversations that changed. The cursor is the revs of all of
// them.
func (s *Server) list(u *user, id, cursor string) wire.Synced {
	out := wire.Synced{T: "synced", ID: id, Conversations: []wire.Summary{}, Gone: []chat.ConversationID{}}
	known := strings.Split(cursor, ",")
	var now []string
	for i, r := range s.roomsOf(u) {
		last := r.last()
		rev := strconv.FormatInt(last, 10)
		now = append(now, rev)
		if i < len(known) && known[i] == rev {
			continue
		}
		out.Conversations = append(out.Conversations, wire.Summary{
			Conversation: wire.Conversation{ID: r.id, Kind: chat.Direct, Members: 2, Seq: last, Rev: last}, Role: chat.Member,
		})
	}
	out.Cursor = strings.Join(now, ",")
	return out
}

// pong answers a ping. A device that lacks something is asked to sync.
func (s *Server) pong(c *websocket.Conn, u *user, cursor string) {
	c.Send(websocket.NewFrame(wire.Encode(wire.Pong{T: "pong", NextMS: s.heartbeat.Milliseconds()})))
	if cursor != "" && len(s.list(u, "", cursor).Conversations) > 0 {
		c.Send(websocket.NewFrame(wire.Encode(wire.Resync{T: "resync"})))
	}
}

func (s *Server) roomsOf(u *user) []*room {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Clone(u.rooms)
}

func (r *room) last() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return int64(len(r.stored))
}
