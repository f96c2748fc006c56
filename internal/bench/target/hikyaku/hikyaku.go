// Package hikyaku drives Hikyaku itself, by its public protocol and nothing
// else.
package hikyaku

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/bench/target"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/client"
	"github.com/hikyaku-chat/hikyaku/internal/eventloop"
)

// Target is an installation.
type Target struct {
	way     *client.Client // not logged in
	options Options
}

// Options say how an installation is reached. Zero values mean the defaults.
type Options struct {
	// AdminToken is a token of an administrator's, by which people and
	// conversations are made in bulk; without one, people register.
	AdminToken string
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
	way, err := client.New(url)
	if err != nil {
		return nil, fmt.Errorf("--url: %w", err)
	}
	for _, gateway := range o.Gateways {
		if _, err := client.New(gateway); err != nil {
			return nil, fmt.Errorf("--gateway: %w", err)
		}
	}
	return &Target{way: way, options: o}, nil
}

// Name implements [target.Target].
func (t *Target) Name() string { return "hikyaku" }

// site is the accounts and conversations of a run.
type site struct {
	options Options
	run     [4]byte // in the ids of all messages
	people  []*client.Client
	rooms   []chat.ConversationID
	members [][]int
	index   map[chat.ConversationID]int // of rooms
	views   []view
	conns   []atomic.Pointer[conn]
	version atomic.Pointer[string]
	loops   []eventloop.Loop // read the sockets, a part of them each

	repaired atomic.Int64
}

// Version implements [target.Site].
func (s *site) Version() string {
	if v := s.version.Load(); v != nil {
		return *v
	}
	return ""
}

// Echoes implements [target.Site]: a person's devices are all told alike.
func (s *site) Echoes(int) bool { return true }

// Repaired implements [target.Repairer]. What a person asks for when they come,
// or come back, does not count.
func (s *site) Repaired() int64 { return s.repaired.Load() }

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

// Connect implements [target.Site]. As every device does, it asks what there is
// once it is connected.
func (s *site) Connect(ctx context.Context, person int, on target.Listener) (target.Conn, error) {
	c := &conn{
		site: s, on: on, view: &s.views[person],
		ready: make(chan struct{}), synced: make(chan struct{}),
	}
	list := c.view.connected(s.people[person].Me().ID)
	d := client.Dialer{Loop: &s.loops[person%len(s.loops)], OnEnd: c.ended, Patient: true}
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
	close(c.ready)
	if s.version.Load() == nil {
		s.version.Store(&socket.Hello.Server)
	}
	for i := 0; i < len(list) && err == nil; i++ {
		err = socket.Send(list[i])
	}
	if err == nil {
		select {
		case <-c.synced:
		case <-socket.Done():
			err = socket.Err()
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	if err == nil && c.stage.CompareAndSwap(dialing, made) {
		s.conns[person].Store(c)
		return c, nil
	}
	c.Cut()
	return nil, fmt.Errorf("wait for the list of conversations: %w", err)
}

// Return implements [target.Returner].
func (s *site) Return(ctx context.Context, person int, on target.Listener) (target.Conn, error) {
	return s.Connect(ctx, person, on)
}

type conn struct {
	site   *site
	on     target.Listener
	socket *client.Socket
	frame  []byte
	closed atomic.Bool
	stage  atomic.Int32  // of the three below
	ready  chan struct{} // closes when socket is known

	// What follows is for whoever reads the socket.

	view    *view
	settled bool          // synced is closed
	synced  chan struct{} // closes when nothing is missing for the first time
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

// The stages of a connection. Only one that was made tells of its end.
const (
	dialing = iota
	made
	over
)

// ended hears that the socket is no more.
func (c *conn) ended(err error) {
	if c.closed.Load() {
		err = nil
	}
	if c.stage.Swap(over) == made {
		c.on.Ended(err)
	}
}

// Close implements [target.Conn].
func (c *conn) Close() {
	c.closed.Store(true)
	c.socket.Close()
}

// Cut implements [target.Conn].
func (c *conn) Cut() {
	c.closed.Store(true)
	c.socket.Cut()
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
		c.message(f.Raw)
	case "pong":
		c.pong(f.Raw)
	case "conversation", "removed", "mark", "resync", "synced", "changes", "error":
		c.synchronize(f)
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
