// Package hikyaku drives Hikyaku itself, by its public protocol and nothing
// else.
package hikyaku

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/hikyaku-chat/hikyaku/internal/bench/target"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/client"
	"github.com/hikyaku-chat/hikyaku/internal/readloop"
)

// Target is an installation.
type Target struct {
	url     string
	options Options
}

// Options say how an installation is reached. Zero values mean the defaults.
type Options struct {
	// Gateways are the addresses that the sockets go to, in turn; by default
	// the installation's.
	Gateways []string
	// Sources are the addresses of this machine that the sockets come from, in
	// turn; by default the system's choice. One is enough for some 28,000
	// sockets to a gateway.
	Sources []netip.Addr
}

// New is the installation at an address, such as http://127.0.0.1:8080.
func New(url string, o Options) (*Target, error) {
	if _, err := client.New(url); err != nil {
		return nil, fmt.Errorf("--url: %w", err)
	}
	for _, gateway := range o.Gateways {
		if _, err := client.New(gateway); err != nil {
			return nil, fmt.Errorf("--gateway: %w", err)
		}
	}
	return &Target{url: url, options: o}, nil
}

// Name implements [target.Target].
func (t *Target) Name() string { return "hikyaku" }

// makeAtOnce is how many accounts are made side by side: their passwords keep
// the server's processors busy anyway.
const makeAtOnce = 8

// Prepare implements [target.Target].
func (t *Target) Prepare(ctx context.Context, p target.Plan) (target.Site, error) {
	s := &site{
		options: t.options, people: make([]*client.Client, p.People), rooms: make([]chat.ConversationID, len(p.Rooms)), members: p.Rooms,
		index: map[string]int{}, loops: make([]readloop.Loop, runtime.GOMAXPROCS(0)),
	}
	if _, err := rand.Read(s.run[:]); err != nil {
		return nil, err
	}
	password := rand.Text()
	var making errgroup.Group
	making.SetLimit(makeAtOnce)
	for i := range s.people {
		making.Go(func() error {
			c, err := client.New(t.url)
			if err != nil {
				return err
			}
			s.people[i] = c
			if err := c.Register(ctx, fmt.Sprintf("bench-%s-%d", p.Run, i), password); err != nil {
				return fmt.Errorf("make account %d of %d: %w", i+1, p.People, err)
			}
			return nil
		})
	}
	if err := making.Wait(); err != nil {
		return nil, err
	}
	for i, members := range p.Rooms {
		making.Go(func() error {
			id, err := s.makeRoom(ctx, fmt.Sprintf("bench %s %d", p.Run, i), members)
			if err != nil {
				return fmt.Errorf("make conversation %d of %d: %w", i+1, len(p.Rooms), err)
			}
			s.rooms[i] = id
			return nil
		})
	}
	if err := making.Wait(); err != nil {
		return nil, err
	}
	for i, id := range s.rooms {
		s.index[id.String()] = i
	}
	return s, nil
}

// site is the accounts and conversations of a run.
type site struct {
	options Options
	run     [4]byte // in the ids of all messages
	people  []*client.Client
	rooms   []chat.ConversationID
	members [][]int
	index   map[string]int // of rooms, by their id as it stands in frames
	version atomic.Pointer[string]
	loops   []readloop.Loop // read the sockets, a part of them each
}

// Version implements [target.Site].
func (s *site) Version() string {
	if v := s.version.Load(); v != nil {
		return *v
	}
	return ""
}

// membersAtOnce is how many members a group is made with; more are invited.
const membersAtOnce = 100

func (s *site) makeRoom(ctx context.Context, title string, members []int) (chat.ConversationID, error) {
	owner := s.people[members[0]]
	if len(members) == 2 {
		c, err := owner.CreateDirect(ctx, s.people[members[1]].Me().ID)
		return c.ID, err
	}
	if len(members) <= membersAtOnce {
		others := make([]chat.UserID, 0, len(members)-1)
		for _, m := range members[1:] {
			others = append(others, s.people[m].Me().ID)
		}
		c, err := owner.CreateGroup(ctx, title, others...)
		return c.ID, err
	}
	c, err := owner.CreateChannel(ctx, title)
	if err != nil {
		return 0, err
	}
	for _, m := range members[1:] {
		if err := s.people[m].Join(ctx, c.ID); err != nil {
			return 0, err
		}
	}
	return c.ID, nil
}

// History implements [target.Site].
func (s *site) History(ctx context.Context, room int) ([]target.Message, error) {
	all, err := s.people[s.members[room][0]].History(ctx, s.rooms[room])
	if err != nil {
		return nil, err
	}
	out := make([]target.Message, len(all))
	for i := range all {
		out[i] = target.Message{Seq: all[i].Seq, Text: all[i].Body}
	}
	return out, nil
}

// Connect implements [target.Site].
func (s *site) Connect(ctx context.Context, person int, on target.Listener) (target.Conn, error) {
	c := &conn{site: s, on: on}
	d := client.Dialer{Loop: &s.loops[person%len(s.loops)], OnEnd: c.ended}
	if all := s.options.Gateways; len(all) > 0 {
		d.Gateway = all[person%len(all)]
	}
	if all := s.options.Sources; len(all) > 0 {
		d.Source = all[person%len(all)]
	}
	socket, err := d.Dial(ctx, s.people[person], c.heard)
	if err != nil {
		return nil, err
	}
	c.socket = socket
	if s.version.Load() == nil {
		s.version.Store(&socket.Hello.Server)
	}
	return c, nil
}

type conn struct {
	site   *site
	on     target.Listener
	socket *client.Socket
	frame  []byte
	closed atomic.Bool
}

// Send implements [target.Conn].
func (c *conn) Send(room, n int, text []byte) error {
	f := append(c.frame[:0], `{"t":"send","id":"`...)
	f = c.site.appendID(f, n, time.Now())
	f = append(f, `","conversation":"`...)
	f = strconv.AppendInt(f, int64(c.site.rooms[room]), 10)
	f = append(f, `","body":"`...)
	f = append(f, text...) // of letters, digits, dots and spaces alone
	f = append(f, `"}`...)
	c.frame = f
	return c.socket.SendRaw(f)
}

// ended tells that the connection is no more.
func (c *conn) ended(err error) {
	if c.closed.Load() {
		err = nil
	}
	c.on.Ended(err)
}

// Close implements [target.Conn].
func (c *conn) Close() {
	c.closed.Store(true)
	c.socket.Close()
}

// appendID writes a UUIDv7 (RFC 9562, section 5.7) whose random part says which
// run and which of the sender's messages it is, so that an answer needs no
// table.
func (s *site) appendID(dst []byte, n int, now time.Time) []byte {
	var id [16]byte
	binary.BigEndian.PutUint64(id[:8], uint64(now.UnixMilli())<<16) //nolint:gosec // after 1970
	id[6] = 0x70 | s.run[0]&0x0f
	id[7] = s.run[1]
	id[8] = 0x80 | s.run[2]&0x3f
	id[9] = s.run[3]
	binary.BigEndian.PutUint32(id[12:], uint32(n)) //nolint:gosec // a run has fewer
	dst, _ = chat.ClientID(id).AppendText(dst)     // never fails
	return dst
}

// numberIn reads the number of a message from its id.
func numberIn(id []byte) (n int, ok bool) {
	var b [4]byte
	if len(id) != 36 {
		return 0, false
	}
	if _, err := hex.Decode(b[:], id[28:]); err != nil {
		return 0, false
	}
	return int(binary.BigEndian.Uint32(b[:])), true
}

// heard reads what the load tool needs from a frame, without decoding all of
// it: a field's name in quotes cannot stand inside a JSON string.
func (c *conn) heard(f client.Frame) {
	switch f.T {
	case "accepted":
		if n, ok := numberIn(value(f.Raw, `"id":"`)); ok {
			c.on.Answered(n, target.Answer{Kind: target.Accepted})
		}
	case "rejected", "failed":
		n, ok := numberIn(value(f.Raw, `"id":"`))
		if !ok {
			return
		}
		a := target.Answer{Kind: target.Refused, Text: string(value(f.Raw, `"code":"`))}
		if f.T == "failed" {
			a.Kind = target.Failed
		}
		if ms, err := strconv.Atoi(string(number(f.Raw, `"retry_after_ms":`))); err == nil {
			a.After = time.Duration(ms) * time.Millisecond
		}
		c.on.Answered(n, a)
	case "message":
		room, ok := c.site.index[string(value(f.Raw, `"conversation":"`))]
		if !ok {
			return
		}
		seq, err := strconv.ParseInt(string(number(f.Raw, `"seq":`)), 10, 64)
		if err != nil {
			return
		}
		c.on.Received(room, seq, value(f.Raw, `"body":"`))
	}
}

// value is the text behind a field's name, up to the next quote.
func value(raw []byte, name string) []byte {
	i := bytes.Index(raw, []byte(name))
	if i < 0 {
		return nil
	}
	rest := raw[i+len(name):]
	return rest[:max(bytes.IndexByte(rest, '"'), 0)]
}

// number is the digits behind a field's name.
func number(raw []byte, name string) []byte {
	i := bytes.Index(raw, []byte(name))
	if i < 0 {
		return nil
	}
	rest := raw[i+len(name):]
	end := bytes.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	return rest[:max(end, 0)]
}
