// Package nullserver is a server that implements as much of Hikyaku's public
// protocol as the load tool uses, at minimal cost: it accepts every message,
// pushes it to both users of the conversation, and stores only its sender and
// number. What the load tool reaches against it is the tool's own speed.
//
// It is for benchmarks and tests only: it checks neither passwords nor
// membership. Tests can make it misbehave, see [Faults].
package nullserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/websocket"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// idle is how long a client may be silent. It is much longer than any
// heartbeat: a client on a busy machine is late, not gone.
const idle = 90 * time.Second

// Server is a running server.
type Server struct {
	heartbeat time.Duration
	faults    *Faults // nil for none
	syncs     atomic.Int64
	http      *http.Server
	listener  net.Listener
	sockets   *websocket.Server

	mu    sync.RWMutex
	users map[chat.UserID]*user
	rooms []*room // number i has the id i+1
}

// user is an account with at most one connection that counts.
type user struct {
	id    chat.UserID
	rooms []*room // guarded by the server's mu
	mu    sync.Mutex
	conn  *websocket.Conn
}

// room is a direct conversation.
type room struct {
	id      chat.ConversationID
	members [2]*user
	mu      sync.Mutex
	stored  []message       // by seq, from 1
	delayed websocket.Frame // pushed after the next one
}

// message is what is stored of a message: enough to identify it.
type message struct{ user, n uint32 }

// Start serves at an address, such as 127.0.0.1:0, until Close. heartbeat is
// the interval that clients are asked to keep.
func Start(ctx context.Context, addr string, heartbeat time.Duration) (*Server, error) {
	return StartFaulty(ctx, addr, heartbeat, nil)
}

// StartFaulty is like Start, for a server that misbehaves.
func StartFaulty(ctx context.Context, addr string, heartbeat time.Duration, faults *Faults) (*Server, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	sockets, err := websocket.NewServer(websocket.Config{
		MaxMessage: 64 << 10, MaxQueued: 16 << 20, WriteTimeout: 10 * time.Second, IdleTimeout: idle, Subprotocol: wire.Subprotocol,
	})
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	s := &Server{heartbeat: heartbeat, faults: faults, listener: l, sockets: sockets, users: map[chat.UserID]*user{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/installation", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, map[string]any{"first_account": false}) // nobody administers it
	})
	mux.HandleFunc("POST /api/v1/register", s.register)
	mux.HandleFunc("POST /api/v1/conversations", s.create)
	mux.HandleFunc("GET /api/v1/conversations/{id}/messages", s.history)
	mux.HandleFunc("GET /api/v1/socket", s.connect)
	s.http = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = s.http.Serve(l) }()
	return s, nil
}

// URL is the server's address.
func (s *Server) URL() string { return "http://" + s.listener.Addr().String() }

// Close ends all connections.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return errors.Join(s.http.Close(), s.sockets.Close(ctx))
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func writeProblem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"status": status, "code": "invalid", "detail": detail})
}

// register creates an account. Its token is its id, so that another null server
// accepts it as well.
func (s *Server) register(w http.ResponseWriter, r *http.Request) {
	var in struct{ Name string }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.Name == "" {
		writeProblem(w, http.StatusUnprocessableEntity, "an account needs a name")
		return
	}
	s.mu.Lock()
	u := s.user(chat.UserID(len(s.users) + 1))
	s.mu.Unlock()
	writeJSON(w, map[string]any{"token": u.id.String(), "user": wire.User{ID: u.id, Name: in.Name}})
}

// user returns the user with an id, and creates it if needed. s.mu must be held
// for writing.
func (s *Server) user(id chat.UserID) *user {
	u := s.users[id]
	if u == nil {
		u = &user{id: id}
		s.users[id] = u
	}
	return u
}

// authenticate returns the user of the request's token, 0 if there is none.
func authenticate(r *http.Request) chat.UserID {
	const scheme = "Bearer "
	token := r.Header.Get("Authorization")
	if len(token) < len(scheme) {
		return 0
	}
	id, err := strconv.ParseInt(token[len(scheme):], 10, 64)
	if err != nil {
		return 0
	}
	return chat.UserID(id)
}

// create creates a direct conversation; other kinds are not supported.
func (s *Server) create(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Kind chat.Kind
		User chat.UserID
	}
	me := authenticate(r)
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.Kind != chat.Direct || in.User == 0 || me == 0 {
		writeProblem(w, http.StatusUnprocessableEntity, "this server knows direct conversations alone")
		return
	}
	s.mu.Lock()
	id := chat.ConversationID(len(s.rooms) + 1)
	made := &room{id: id, members: [2]*user{s.user(me), s.user(in.User)}}
	s.rooms = append(s.rooms, made)
	for _, u := range made.members {
		u.rooms = append(u.rooms, made)
	}
	s.mu.Unlock()
	writeJSON(w, wire.Summary{Conversation: wire.Conversation{ID: id, Kind: chat.Direct, Members: 2}})
}

func (s *Server) room(id int64) *room {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if id < 1 || id > int64(len(s.rooms)) {
		return nil
	}
	return s.rooms[id-1]
}

// anyID replaces the client ids of messages, which are not stored.
var anyID = chat.ClientID(uuid.Must(uuid.NewV7()))

// history reconstructs a page from what is stored.
func (s *Server) history(w http.ResponseWriter, r *http.Request) {
	id, _ := strconv.ParseInt(r.PathValue("id"), 10, 64)
	after, _ := strconv.ParseInt(r.URL.Query().Get("after"), 10, 64)
	limit, _ := strconv.ParseInt(r.URL.Query().Get("limit"), 10, 64)
	room := s.room(id)
	if room == nil || after < 0 || limit < 1 {
		writeProblem(w, http.StatusNotFound, "there is no such page")
		return
	}
	room.mu.Lock()
	all := room.stored
	room.mu.Unlock()
	from := min(after, int64(len(all)))
	to := min(from+limit, int64(len(all)))
	items := room.page(all, from, to)
	writeJSON(w, map[string]any{"items": items, "has_before": from > 0, "has_after": to < int64(len(all))})
}

// page reconstructs the messages after one position up to another.
func (r *room) page(all []message, from, to int64) []wire.Message {
	items := make([]wire.Message, 0, to-from)
	for i, t := range all[from:to] {
		seq := from + int64(i) + 1
		items = append(items, wire.Message{
			Conversation: r.id, Seq: seq, Rev: seq, ID: 1, Sender: 1, ClientID: anyID, Body: fmt.Sprintf("%d.%d ", t.user, t.n),
		})
	}
	return items
}

// connect opens a socket.
func (s *Server) connect(w http.ResponseWriter, r *http.Request) {
	id := authenticate(r)
	if id == 0 {
		writeProblem(w, http.StatusUnauthorized, "log in first")
		return
	}
	s.mu.Lock()
	u := s.user(id)
	s.mu.Unlock()
	c, err := s.sockets.Upgrade(w, r, &session{server: s, user: u})
	var refused *websocket.UpgradeError
	if errors.As(err, &refused) {
		writeProblem(w, refused.StatusCode(), refused.Text)
		return
	}
	if err != nil {
		return
	}
	u.mu.Lock()
	u.conn = c
	u.mu.Unlock()
	c.Send(websocket.NewFrame(wire.Encode(wire.Hello{
		T: "hello", User: wire.User{ID: id}, Session: 1, Server: "null", Time: wire.MillisOf(time.Now()),
		Limits: wire.Limits{FrameBytes: 64 << 10, BodyBytes: 4000, HeartbeatMS: s.heartbeat.Milliseconds(), IdleMS: idle.Milliseconds()},
	})))
}
