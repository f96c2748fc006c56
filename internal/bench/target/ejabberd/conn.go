package ejabberd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/hikyaku-chat/hikyaku/internal/bench/target"
)

// conn is a connected user. One goroutine reads; it and the sender share what mu
// guards.
//
// The reader never blocks on a write: under pressure the server accepts nothing
// before the client has read. Answers to the server, and the driver's own
// requests, are sent by their own goroutines.
type conn struct {
	*session
	site     *site
	on       target.Listener
	rooms    map[string]int // by the address that their messages come from
	to       map[int]string // the inverse of rooms
	received atomic.Uint32  // stanzas from the server since stream management was enabled
	closed   atomic.Bool
	// running counts the goroutines. The reader starts the others: before it is
	// started, that is whoever connects.
	running sync.WaitGroup

	frame []byte // of Send, which one goroutine at a time calls

	// sending is held from when a stanza goes into pending until it is written,
	// so that both have the same order. It is taken before mu.
	sending sync.Mutex

	mu           sync.Mutex
	acked        uint32 // stanzas that the server has acknowledged
	pending      []int  // numbers of the texts behind those, in order; nobodys for a stanza that awaits no word
	ackRequested bool   // an acknowledgment was requested and has not come
}

// noMessage stands for a text that was answered already, or for a stanza that is
// no text.
const noMessage = -1

var (
	ackRequest = []byte(`<r xmlns="` + nsSM + `"/>`)
	presence   = []byte(`<presence xmlns="` + nsClient + `"/>`)
)

// Connect implements [target.Site]. It returns when the user is present,
// also in their group chats.
func (s *site) Connect(ctx context.Context, user int, on target.Listener) (target.Conn, error) {
	stream, err := s.login(ctx, user, "bench")
	if err != nil {
		return nil, err
	}
	c := &conn{session: stream, site: s, on: on, rooms: s.rooms[user], to: map[int]string{}}
	for address, room := range c.rooms {
		c.to[room] = address
	}
	if err := stream.withContext(ctx, func() error { return c.activate(user) }); err != nil {
		c.Close()
		return nil, fmt.Errorf("connect %s: %w", s.user(user), err)
	}
	c.running.Go(c.read)
	return c, nil
}

// activate enables stream management and sends presence.
func (c *conn) activate(user int) error {
	if c.site.version.Load() == nil {
		v, err := c.version()
		if err != nil {
			return err
		}
		c.site.version.Store(&v)
	}
	for from, room := range c.rooms {
		if c.site.isPair(room) {
			continue
		}
		if err := c.join(from, user); err != nil {
			return fmt.Errorf("come into the room %s: %w", from, err)
		}
	}
	if err := c.Write([]byte(`<enable xmlns="` + nsSM + `"/>`)); err != nil {
		return err
	}
	answer, err := c.expect("enabled", "failed")
	if err != nil {
		return err
	}
	if answer.is("failed") {
		return errors.New("the server has no stream management (mod_stream_mgmt)")
	}
	if err := c.Write(presence, ackRequest); err != nil {
		return err
	}
	for {
		e, err := c.next()
		if err != nil {
			return err
		}
		if e.is("a") {
			h, err := ackedCount(e)
			c.acked = h
			return err
		}
		if err := c.handle(e); err != nil {
			return err
		}
	}
}

// join joins a group chat (XEP-0045). The subject is the last stanza that a user
// receives when joining.
func (c *conn) join(room string, user int) error {
	f := append([]byte(nil), `<presence xmlns="`+nsClient+`" to="`+room+`/p`...)
	f = strconv.AppendInt(f, int64(user), 10)
	f = append(f, `"><x xmlns="`+nsMUC+`"><history maxstanzas="0"/></x></presence>`...)
	if err := c.Write(f); err != nil {
		return err
	}
	for {
		e, err := c.next()
		if err != nil {
			return err
		}
		if string(bareJID(e.attr("from"))) != room {
			continue
		}
		if string(e.attr("type")) == "error" {
			return errors.New(condition(e.child("error", "")))
		}
		if e.is("message") && e.child("subject", "") != nil {
			return nil
		}
	}
}

// bareJID returns an address without its resource.
func bareJID(jid []byte) []byte {
	b, _, _ := bytes.Cut(jid, []byte("/"))
	return b
}

// ackedCount returns the number of stanzas that an answer acknowledges.
func ackedCount(e *element) (uint32, error) {
	h, err := strconv.ParseUint(string(e.attr("h")), 10, 32)
	if err != nil {
		return 0, fmt.Errorf("the server acknowledges %q stanzas", e.attr("h"))
	}
	return uint32(h), nil
}

// Send implements [target.Conn].
func (c *conn) Send(room, n int, text []byte) error {
	f := append(c.frame[:0], `<message xmlns="`+nsClient+`" id="`...)
	f = strconv.AppendInt(f, int64(n), 10)
	if c.site.isPair(room) {
		f = append(f, `" type="chat" to="`...)
	} else {
		f = append(f, `" type="groupchat" to="`...)
	}
	f = append(f, c.to[room]...)
	f = append(f, `"><body>`...)
	f = appendEscaped(f, text)
	f = append(f, `</body></message>`...)
	c.frame = f
	c.sending.Lock()
	defer c.sending.Unlock()
	c.mu.Lock()
	c.pending = append(c.pending, n)
	asked := c.ackRequested
	c.ackRequested = true
	c.mu.Unlock()
	if asked {
		return c.Write(f)
	}
	return c.Write(f, ackRequest)
}

// Close implements [target.Conn].
func (c *conn) Close() {
	c.closed.Store(true)
	c.close()
	c.running.Wait()
}

// read reads until the connection ends.
func (c *conn) read() {
	for {
		e, err := c.next()
		if err == nil {
			err = c.handle(e)
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

// handle handles one element.
func (c *conn) handle(e *element) error {
	switch string(e.name) {
	case "message":
		c.received.Add(1)
		c.handleMessage(e)
	case "presence":
		c.received.Add(1)
	case "iq":
		c.received.Add(1)
		if kind := string(e.attr("type")); kind == "get" || kind == "set" {
			c.answerIQ(e)
		}
	case "a":
		h, err := ackedCount(e)
		if err != nil {
			return err
		}
		return c.handleAck(h)
	case "r":
		c.running.Go(c.sendAck)
	}
	return nil
}

// sendAck acknowledges the received stanzas. The number is read just before it is
// written, so that it never decreases. The reader notices an error.
func (c *conn) sendAck() {
	c.sending.Lock()
	defer c.sending.Unlock()
	_ = c.Write([]byte(`<a xmlns="` + nsSM + `" h="` + strconv.FormatUint(uint64(c.received.Load()), 10) + `"/>`))
}

// answerIQ answers the server's requests: pings (XEP-0199), and any other. The
// answer counts as a stanza, like a text.
func (c *conn) answerIQ(e *element) {
	f := append([]byte(nil), `<iq xmlns="`+nsClient+`" type="result" id="`...)
	f = appendEscaped(f, e.attr("id"))
	if from := e.attr("from"); from != nil {
		f = append(f, `" to="`...)
		f = appendEscaped(f, from)
	}
	f = append(f, `"/>`...)
	c.running.Go(func() {
		c.sending.Lock()
		defer c.sending.Unlock()
		c.mu.Lock()
		c.pending = append(c.pending, noMessage)
		c.mu.Unlock()
		_ = c.Write(f)
	})
}

func (c *conn) handleMessage(e *element) {
	room, ok := c.rooms[string(bareJID(e.attr("from")))]
	if !ok {
		return
	}
	if string(e.attr("type")) == "error" {
		if n, err := strconv.Atoi(string(e.attr("id"))); err == nil {
			c.handleBounce(n, condition(e.child("error", "")))
		}
		return
	}
	if body := e.child("body", ""); body != nil {
		c.on.Received(room, 0, body.text)
	}
}

// handleAck reports the messages that the server acknowledged, and requests the
// next acknowledgment when there are more.
func (c *conn) handleAck(h uint32) error {
	c.mu.Lock()
	count := h - c.acked // also past the counter's end (XEP-0198, section 4)
	if int64(count) > int64(len(c.pending)) {
		c.mu.Unlock()
		return fmt.Errorf("the server acknowledges %d messages where %d were sent", count, len(c.pending))
	}
	numbers := append([]int(nil), c.pending[:count]...)
	c.pending = append(c.pending[:0], c.pending[count:]...)
	c.acked = h
	if c.ackRequested = len(c.pending) > 0; c.ackRequested {
		c.running.Go(func() { _ = c.Write(ackRequest) })
	}
	c.mu.Unlock()
	for _, n := range numbers {
		if n != noMessage {
			c.on.Answered(n, target.Answer{Kind: target.Accepted})
		}
	}
	return nil
}

// handleBounce reports that a message was returned: refused, or failed if the
// server had acknowledged it before.
func (c *conn) handleBounce(n int, why string) {
	kind := target.Failed
	c.mu.Lock()
	for i := range c.pending {
		if c.pending[i] == n {
			c.pending[i], kind = noMessage, target.Refused
		}
	}
	c.mu.Unlock()
	c.on.Answered(n, target.Answer{Kind: kind, Text: why})
}
