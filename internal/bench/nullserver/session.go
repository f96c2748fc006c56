package nullserver

import (
	"bytes"
	"strconv"

	"github.com/hikyaku-chat/hikyaku/internal/websocket"
)

// session is a user's connection. All of it runs on the event loop.
type session struct {
	server *Server
	user   *user
	frame  []byte // being made
}

// Closed implements [websocket.Handler].
func (s *session) Closed(c *websocket.Conn, _ error) {
	s.user.mu.Lock()
	defer s.user.mu.Unlock()
	if s.user.conn == c {
		s.user.conn = nil
	}
}

// Frame implements [websocket.Handler]. The load tool keeps to its limits.
func (s *session) Frame(*websocket.Conn, int) bool { return true }

// Message implements [websocket.Handler]. It reads fields where the load tool's
// driver writes them, which is fast and would not work for other JSON.
func (s *session) Message(c *websocket.Conn, p []byte) {
	if bytes.HasPrefix(p, []byte(`{"t":"ping"`)) {
		s.server.pong(c, s.user, string(field(p, `"cursor":"`)))
		return
	}
	if bytes.HasPrefix(p, []byte(`{"t":"sync"`)) {
		s.sync(c, p)
		return
	}
	id, conversation, body := field(p, `"id":"`), field(p, `"conversation":"`), field(p, `"body":"`)
	number, err := strconv.ParseInt(string(conversation), 10, 64)
	room := s.server.room(number)
	who, ok := parseBody(body)
	if err != nil || room == nil || !ok || len(id) != 36 {
		f := append(s.frame[:0], `{"t":"rejected","id":"`...)
		f = append(f, id...)
		f = append(f, `","code":"invalid","text":"this is none of the load tool's messages"}`...)
		c.Send(websocket.NewFrame(f))
		s.frame = f
		return
	}
	room.mu.Lock()
	room.stored = append(room.stored, who)
	seq := len(room.stored)
	// Under the lock, so that all devices see the one order.
	f := append(s.frame[:0], `{"t":"message","conversation":"`...)
	f = append(f, conversation...)
	f = append(f, `","seq":`...)
	f = strconv.AppendInt(f, int64(seq), 10)
	f = append(f, `,"rev":`...)
	f = strconv.AppendInt(f, int64(seq), 10)
	f = append(f, `,"id":"`...)
	f = strconv.AppendInt(f, int64(seq), 10)
	f = append(f, `","sender":"`...)
	f = strconv.AppendInt(f, int64(s.user.id), 10)
	f = append(f, `","client_id":"`...)
	f = append(f, id...)
	f = append(f, `","body":"`...)
	f = append(f, body...)
	f = append(f, `","at":1700000000000}`...)
	message := websocket.NewFrame(f)
	if s.server.faults == nil {
		room.push(message)
	} else {
		s.server.pushFaulty(room, seq, message)
	}
	room.mu.Unlock()
	f = append(f[:0], `{"t":"accepted","id":"`...)
	f = append(f, id...)
	f = append(f, `"}`...)
	c.Send(websocket.NewFrame(f))
	s.frame = f
}

// push sends a frame to both members. r.mu must be held.
func (r *room) push(f websocket.Frame) {
	for _, u := range r.members {
		u.send(f)
	}
}

func (u *user) send(f websocket.Frame) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.conn != nil {
		u.conn.Send(f)
	}
}

// field returns the text after a field's name, up to the next quote.
func field(p []byte, name string) []byte {
	i := bytes.Index(p, []byte(name))
	if i < 0 {
		return nil
	}
	rest := p[i+len(name):]
	return rest[:max(bytes.IndexByte(rest, '"'), 0)]
}

// parseBody reads the identity from a message text of the load tool:
// "user.number ".
func parseBody(body []byte) (message, bool) {
	user, rest, ok := bytes.Cut(body, []byte("."))
	if !ok {
		return message{}, false
	}
	number, _, ok := bytes.Cut(rest, []byte(" "))
	if !ok {
		return message{}, false
	}
	p, err := strconv.ParseUint(string(user), 10, 32)
	if err != nil {
		return message{}, false
	}
	n, err := strconv.ParseUint(string(number), 10, 32)
	if err != nil {
		return message{}, false
	}
	return message{user: uint32(p), n: uint32(n)}, true
}
