// Package syncclient is a client that stays connected, keeps its messages until
// they are answered, and misses no message. It does what the web page does,
// over the same public protocol; tests use it.
//
// It sees the changes of a conversation in the order of rev, each once; package
// syncstate decides what it has seen and what it must request.
package syncclient

import (
	"cmp"
	"context"
	"math"
	"sync"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/backoff"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/client"
	"github.com/hikyaku-chat/hikyaku/internal/setting"
	"github.com/hikyaku-chat/hikyaku/internal/syncclient/syncstate"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// Config configures a Client. Zero values mean the defaults.
type Config struct {
	// MaxInFlight is how many messages may be sent and unanswered, from 1; default
	// 32.
	MaxInFlight int
	// FromStart reads all conversations from their beginning. Otherwise the
	// client starts with what happens after its first connection.
	FromStart bool
	// MaxBackoff is the longest delay between two attempts to connect, 50 ms to
	// 1 h; default 2 s.
	MaxBackoff time.Duration

	// The callbacks are called one at a time, in order, and must not block or
	// call the client.

	OnMessage  func(wire.Message)                                  // a new or changed message
	OnAccepted func(*Outgoing)                                     // a message of this client was accepted
	OnFailed   func(id chat.ClientID, code chat.Code, text string) // a message of this client was rejected permanently, or failed after it was accepted
}

// WithDefaults returns c with the default for each zero.
func (c Config) WithDefaults() Config {
	c.MaxInFlight = cmp.Or(c.MaxInFlight, 32)
	c.MaxBackoff = cmp.Or(c.MaxBackoff, 2*time.Second)
	return c
}

// Validate returns the first error of a field; a zero is one.
func (c Config) Validate() error {
	return cmp.Or(
		setting.Between("max-in-flight", c.MaxInFlight, 1, math.MaxInt32, "unanswered messages, such as 32"),
		setting.Between("max-backoff", c.MaxBackoff, minBackoff, time.Hour, "the longest delay between two attempts to connect, such as 2s"),
	)
}

// minBackoff is the first delay between two attempts to connect.
const minBackoff = 50 * time.Millisecond

// Outgoing is a message in the outbox.
type Outgoing struct {
	wire.Send
	QueuedAt   time.Time // when Send was called
	AcceptedAt time.Time // when it was accepted; zero before

	inFlight bool // sent on the current connection
	stored   bool // it came before its answer
}

// Client is one device of a user. Its methods may be called concurrently.
type Client struct {
	cfg  Config
	api  *client.Client
	stop context.CancelFunc
	done chan struct{}

	mu       sync.Mutex
	socket   *client.Socket // nil without a connection
	state    syncstate.Machine
	cursor   string // that the socket's heartbeats carry
	outboxes map[chat.ConversationID]*outbox
	// accepted are the messages of this client that were accepted and have
	// neither come nor failed yet.
	accepted map[chat.ClientID]chat.Digest
	inFlight int
	pending  int             // messages without an answer, in flight or not
	retry    backoff.Backoff // between attempts to connect
}

// outbox holds a conversation's unanswered messages in order.
type outbox struct {
	messages []*Outgoing
	resumeAt time.Time // the server asked not to send before
}

// Start starts a client with the account of api. It connects, and reconnects,
// until Close.
func Start(api *client.Client, cfg Config) (*Client, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	c := &Client{
		cfg: cfg, api: api, stop: stop, done: make(chan struct{}),
		retry:    backoff.Backoff{InitialInterval: minBackoff, MaxInterval: cfg.MaxBackoff, Jitter: 1},
		state:    syncstate.New(syncstate.Options{FromStart: cfg.FromStart}),
		outboxes: map[chat.ConversationID]*outbox{},
		accepted: map[chat.ClientID]chat.Digest{},
	}
	go c.run(ctx)
	return c, nil
}

// Close disconnects and waits until the client has stopped.
func (c *Client) Close() {
	c.stop()
	<-c.done
}

// Pending returns how many messages have no answer yet.
func (c *Client) Pending() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pending
}

// Send adds a message with a new id to the outbox. It never blocks.
func (c *Client) Send(to chat.ConversationID, body string) *Outgoing {
	m := &Outgoing{Send: wire.Send{T: "send", ID: client.NewClientID(), Conversation: to, Body: body}, QueuedAt: time.Now()}
	c.mu.Lock()
	defer c.mu.Unlock()
	box := c.outboxes[to]
	if box == nil {
		box = &outbox{}
		c.outboxes[to] = box
	}
	box.messages = append(box.messages, m)
	c.pending++
	c.flush(box)
	return m
}

// send sends a frame on the current connection, if there is one. runConnection
// handles a lost connection. c.mu must be held.
func (c *Client) send(frame any) {
	if c.socket != nil {
		_ = c.socket.Send(frame)
	}
}

// sendSyncs sends requests, and has heartbeats carry the cursor. c.mu must be
// held.
func (c *Client) sendSyncs(frames []wire.Sync) {
	for i := range frames {
		c.send(frames[i])
	}
	if cursor := c.state.Cursor(); cursor != c.cursor && c.socket != nil {
		c.cursor = cursor
		c.socket.SetCursor(cursor)
	}
}
