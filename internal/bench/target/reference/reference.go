// Package reference drives the reference stack (internal/stack/reference): JSON
// over WebSocket, users in pairs.
//
// Accepted is that its broker confirmed a message. What is stored is read from
// its database, since it has no other way to tell; without the database's
// address nothing is known of it. Its numbers count all messages of the system,
// so that they say nothing of one conversation, and are not taken.
package reference

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hikyaku-chat/hikyaku/internal/bench/target"
	"github.com/hikyaku-chat/hikyaku/internal/bench/target/frames"
)

// Options say what cannot be learnt from the stack itself.
type Options struct {
	Database string // address of its PostgreSQL; empty when it cannot be asked
}

// Target is a running stack.
type Target struct {
	gateways []*url.URL
	Options
}

// New is the stack whose gateways are at some addresses, with commas between
// them: users are distributed over them.
func New(addresses string, o Options) (*Target, error) {
	t := &Target{Options: o}
	for address := range strings.SplitSeq(addresses, ",") {
		u, err := frames.Address(address, "/ws")
		if err != nil {
			return nil, fmt.Errorf("--url: %w", err)
		}
		t.gateways = append(t.gateways, u)
	}
	if o.Database != "" {
		if _, err := pgx.ParseConfig(o.Database); err != nil {
			return nil, fmt.Errorf("the address of the reference stack's database: %w", err)
		}
	}
	return t, nil
}

// Name implements [target.Target].
func (t *Target) Name() string { return "reference" }

// site is the users of a run. The stack has no accounts.
type site struct {
	*Target
	plan  target.Plan
	rooms []map[string]int // by user: rooms by the name of the other user
}

func (s *site) user(user int) string { return fmt.Sprintf("bench-%s-%d", s.plan.Run, user) }

// Prepare implements [target.Target]. There is nothing to make.
func (t *Target) Prepare(_ context.Context, p target.Plan) (target.Site, error) {
	s := &site{Target: t, plan: p, rooms: make([]map[string]int, p.Users)}
	for i := range s.rooms {
		s.rooms[i] = map[string]int{}
	}
	for room, members := range p.Rooms {
		if len(members) != 2 || members[0] == members[1] {
			return nil, fmt.Errorf("the reference stack serves people in pairs only, and conversation %d has %d persons; choose a scenario of pairs", room, len(members))
		}
		for i, m := range members {
			other := s.user(members[1-i])
			if _, twice := s.rooms[m][other]; twice {
				return nil, fmt.Errorf("the reference stack has one conversation between two persons, not several (conversation %d)", room)
			}
			s.rooms[m][other] = room
		}
	}
	return s, nil
}

// Echoes implements [target.Site]: a message goes to the other alone.
func (s *site) Echoes(int) bool { return false }

// Version implements [target.Site]: it says nothing of itself.
func (s *site) Version() string { return "" }

// History implements [target.Site].
func (s *site) History(ctx context.Context, room int) ([]target.Message, error) {
	if s.Database == "" {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	db, err := pgx.Connect(ctx, s.Database)
	if err != nil {
		return nil, fmt.Errorf("ask the reference stack's database: %w", err)
	}
	defer func() { _ = db.Close(ctx) }()
	a, b := s.user(s.plan.Rooms[room][0]), s.user(s.plan.Rooms[room][1])
	rows, err := db.Query(ctx,
		"SELECT body FROM ref_messages WHERE sender = $1 AND recipient = $2 OR sender = $2 AND recipient = $1 ORDER BY seq", a, b)
	if err != nil {
		return nil, fmt.Errorf("ask the reference stack's database: %w", err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("ask the reference stack's database: %w", err)
	}
	out := make([]target.Message, len(all))
	for i, text := range all {
		out[i] = target.Message{Text: text}
	}
	return out, nil
}

// timeout bounds the greeting, and a question to the database.
const timeout = 30 * time.Second

// Connect implements [target.Site]. The stack takes a socket before it knows
// where the person is, and says nothing when it does: so the person greets
// themselves, which comes back once it knows.
func (s *site) Connect(ctx context.Context, user int, on target.Listener) (target.Conn, error) {
	u := *s.gateways[user%len(s.gateways)]
	u.RawQuery = url.Values{"user": {s.user(user)}}.Encode()
	socket, err := frames.Dial(ctx, &u, "")
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: socket, on: on, rooms: s.rooms[user], to: map[int]string{}, prefix: s.user(user) + "-"}
	for other, room := range c.rooms {
		c.to[room] = other
	}
	if err := socket.Within(ctx, timeout, func() error { return c.greet(s.user(user)) }); err != nil {
		socket.Close()
		return nil, fmt.Errorf("connect %s: %w", s.user(user), err)
	}
	c.reading.Go(c.read)
	return c, nil
}

type conn struct {
	*frames.Conn
	on      target.Listener
	rooms   map[string]int // by the other's name
	to      map[int]string
	prefix  string // of the ids of this user's messages
	buf     []byte
	closed  atomic.Bool
	reading sync.WaitGroup
}

func (c *conn) greet(self string) error {
	// A user may connect again.
	id := c.prefix + "greeting-" + rand.Text()
	if err := c.Write([]byte(`{"id": "` + id + `", "to": "` + self + `", "body": ""}`)); err != nil {
		return err
	}
	for acked, came := false, false; !acked || !came; {
		text, err := c.Read()
		if err != nil {
			return fmt.Errorf("the greeting did not come back: %w", err)
		}
		f, err := decode(text)
		switch {
		case err != nil:
			return err
		case f.Ack != nil && *f.Ack == id:
			acked = true
		case f.Ack == nil && f.ID == id:
			came = true
		default:
			if err := c.handle(f); err != nil {
				return err
			}
		}
	}
	return nil
}

// Send implements [target.Conn].
func (c *conn) Send(room, n int, text []byte) error {
	f := append(c.buf[:0], `{"id": "`...)
	f = append(f, c.prefix...)
	f = strconv.AppendInt(f, int64(n), 10)
	f = append(f, `", "to": "`...)
	f = append(f, c.to[room]...)
	f = append(f, `", "body": "`...)
	f = append(f, text...) // of letters, digits, dots and spaces alone
	f = append(f, `"}`...)
	c.buf = f
	return c.Write(f)
}

// Close implements [target.Conn].
func (c *conn) Close() {
	c.closed.Store(true)
	c.Conn.Close()
	c.reading.Wait()
}

// read reads until the connection ends.
func (c *conn) read() {
	for {
		var f frame
		text, err := c.Read()
		if err == nil {
			f, err = decode(text)
		}
		if err == nil {
			err = c.handle(f)
		}
		if err == nil {
			continue
		}
		c.Conn.Close()
		if c.closed.Load() {
			err = nil
		}
		c.on.Ended(err)
		return
	}
}

// errUnexpectedFrame is that the stack sent what its protocol does not have.
var errUnexpectedFrame = errors.New("the server sent a frame that its protocol does not have")

// frame is what comes from the server: an answer, or a message.
type frame struct {
	Ack  *string `json:"ack"`
	ID   string  `json:"id"`
	From string  `json:"from"`
	Body string  `json:"body"`
}

func decode(text []byte) (f frame, err error) {
	if err := json.Unmarshal(text, &f); err != nil {
		return f, fmt.Errorf("%w: %w", errUnexpectedFrame, err)
	}
	return f, nil
}

func (c *conn) handle(f frame) error {
	if f.Ack != nil {
		digits, ours := strings.CutPrefix(*f.Ack, c.prefix)
		n, err := strconv.Atoi(digits)
		if !ours || err != nil {
			return fmt.Errorf("%w: an answer to %q", errUnexpectedFrame, *f.Ack)
		}
		c.on.Answered(n, target.Answer{Kind: target.Accepted})
		return nil
	}
	room, ok := c.rooms[f.From]
	if !ok {
		return fmt.Errorf("%w: a message from %q", errUnexpectedFrame, f.From)
	}
	c.on.Received(room, 0, []byte(f.Body))
	return nil
}
