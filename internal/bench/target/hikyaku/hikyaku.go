// Package hikyaku is the driver for Hikyaku itself. It uses only the public
// protocol.
package hikyaku

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
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

// Target is a Hikyaku installation.
type Target struct {
	client  *client.Client // not logged in
	options Options
}

// Options configure how an installation is reached. Zero values mean the
// defaults.
type Options struct {
	// AdminToken is an administrator's token, with which users and
	// conversations are created in bulk; without one, users register.
	AdminToken string
	// SetupToken makes the first account of an installation that has none, which then
	// administers it.
	SetupToken string
	// Gateways are the addresses that sockets connect to, in rotation; by
	// default the installation's.
	Gateways []string
	// Sources are the local addresses that sockets connect from, in rotation;
	// by default the system's choice. One has some 28,000 ports toward a gateway,
	// of which the kernel finds the first 14,000 without a search.
	Sources []netip.Addr
}

// New returns the installation at an address, such as http://127.0.0.1:8080.
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
	return &Target{client: way, options: o}, nil
}

// Name implements [target.Target].
func (t *Target) Name() string { return "hikyaku" }

// site is the accounts and conversations of a run.
type site struct {
	options Options
	run     [4]byte // in the ids of all messages
	users   []*client.Client
	rooms   []chat.ConversationID
	members [][]int
	index   map[chat.ConversationID]int // of rooms
	states  []syncState
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

// Echoes implements [target.Site]: all devices of a user receive all messages.
func (s *site) Echoes(int) bool { return true }

// Repaired implements [target.Repairer]. What a user requests when connecting,
// or reconnecting, does not count.
func (s *site) Repaired() int64 { return s.repaired.Load() }

// History implements [target.Site].
func (s *site) History(ctx context.Context, room int) ([]target.Message, error) {
	all, err := s.users[s.members[room][0]].History(ctx, s.rooms[room])
	if err != nil {
		return nil, err
	}
	out := make([]target.Message, len(all))
	for i := range all {
		out[i] = target.Message{Seq: all[i].Seq, Text: all[i].Body}
	}
	return out, nil
}

// Connect implements [target.Site]. As every device does, it requests the list
// of conversations once it is connected.
func (s *site) Connect(ctx context.Context, user int, on target.Listener) (target.Conn, error) {
	c := &conn{site: s, on: on, sync: &s.states[user], synced: make(chan struct{})}
	d := client.Dialer{Loop: &s.loops[user%len(s.loops)], OnEnd: c.handleEnd, TolerateSilence: true}
	d.Gateway, d.Source = s.options.path(user)
	socket, err := d.Dial(ctx, s.users[user], c.handleFrame)
	if err != nil {
		return nil, err
	}
	c.socket = socket
	c.outgoing.start(socket)
	c.outbox.out, c.outbox.maxInFlight = &c.outgoing, socket.Hello.Limits.InFlight
	if s.version.Load() == nil {
		s.version.Store(&socket.Hello.Server)
	}
	c.connected(s.users[user].Me().ID, socket.Hello.Epoch)
	select {
	case <-c.synced:
	case <-socket.Done():
		err = socket.Err()
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err == nil && c.state.CompareAndSwap(stateDialing, stateOpen) {
		s.conns[user].Store(c)
		return c, nil
	}
	c.Disconnect()
	return nil, fmt.Errorf("wait for the list of conversations: %w", err)
}

// path returns the gateway that a user's socket connects to, and the address that
// it comes from; zero values for the defaults. Each gateway gets sockets from each
// address.
func (o *Options) path(user int) (gateway string, source netip.Addr) {
	if n := len(o.Gateways); n > 0 {
		gateway = o.Gateways[user%n]
		user /= n
	}
	if n := len(o.Sources); n > 0 {
		source = o.Sources[user%n]
	}
	return gateway, source
}

// Wait implements [target.Waiter].
func (s *site) Wait() {
	for i := range s.loops {
		s.loops[i].Wait()
	}
}

// Reconnect implements [target.Reconnecter].
func (s *site) Reconnect(ctx context.Context, user int, on target.Listener) (target.Conn, error) {
	return s.Connect(ctx, user, on)
}

type conn struct {
	site     *site
	on       target.Listener
	socket   *client.Socket
	frame    []byte
	closed   atomic.Bool
	state    atomic.Int32 // one of the three below
	outgoing frameSender
	outbox   outbox

	// What follows is guarded by sync.mu.

	sync     *syncState
	cursor   string        // that heartbeats carry
	isSynced bool          // synced is closed
	synced   chan struct{} // closes when nothing is missing for the first time
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
	return c.outbox.send(f, c.socket.SendRaw)
}

// The states of a connection. Only one that was open reports its end.
const (
	stateDialing = iota
	stateOpen
	stateEnded
)

// handleEnd is called when the socket has ended.
func (c *conn) handleEnd(err error) {
	if c.closed.Load() {
		err = nil
	}
	if c.state.Swap(stateEnded) == stateOpen {
		c.on.Ended(err)
	}
}

// Close implements [target.Conn].
func (c *conn) Close() {
	c.closed.Store(true)
	c.socket.Close()
	c.outgoing.wait()
}

// Disconnect implements [target.Disconnecter].
func (c *conn) Disconnect() {
	c.closed.Store(true)
	c.socket.CloseNow()
	c.outgoing.wait()
}

// appendID appends a UUIDv7 (RFC 9562, section 5.7) whose random part holds the
// run and the sender's message number, so that an answer needs no table.
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

// messageNumber reads the number of a message from its id.
func messageNumber(id []byte) (n int, ok bool) {
	var b [4]byte
	if len(id) != 36 {
		return 0, false
	}
	if _, err := hex.Decode(b[:], id[28:]); err != nil {
		return 0, false
	}
	return int(binary.BigEndian.Uint32(b[:])), true
}

// handleFrame reads what the load tool needs from a frame, without decoding all
// of it: a field's name in quotes cannot occur inside a JSON string.
func (c *conn) handleFrame(f client.Frame) {
	switch f.T {
	case "accepted":
		if n, ok := messageNumber(stringField(f.Raw, `"id":"`)); ok {
			c.outbox.answered()
			c.on.Answered(n, target.Answer{Kind: target.Accepted})
		}
	case "rejected", "failed":
		id := stringField(f.Raw, `"id":"`)
		n, ok := messageNumber(id)
		if !ok {
			return
		}
		a := target.Answer{Kind: target.Refused, Text: string(stringField(f.Raw, `"code":"`))}
		ms, err := strconv.Atoi(string(numberField(f.Raw, `"retry_after_ms":`)))
		switch {
		case f.T == "failed": // it was accepted before
			a.Kind = target.Failed
		case err != nil:
			c.outbox.answered()
		default:
			a.RetryAfter = time.Duration(ms) * time.Millisecond
			c.outbox.refusedForNow(json.RawMessage(fmt.Sprintf(`{"t":"withdraw","id":"%s"}`, id)))
		}
		c.on.Answered(n, a)
	case "message":
		c.handleMessage(f.Raw)
	case "conversation", "removed", "mark", "resync", "synced", "changes", "error":
		c.synchronize(f)
	}
}

// stringField returns the text after a field's name, up to the next quote.
func stringField(raw []byte, name string) []byte {
	i := bytes.Index(raw, []byte(name))
	if i < 0 {
		return nil
	}
	rest := raw[i+len(name):]
	return rest[:max(bytes.IndexByte(rest, '"'), 0)]
}

// numberField returns the digits after a field's name.
func numberField(raw []byte, name string) []byte {
	i := bytes.Index(raw, []byte(name))
	if i < 0 {
		return nil
	}
	rest := raw[i+len(name):]
	end := bytes.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	return rest[:max(end, 0)]
}
