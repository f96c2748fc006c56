// Package syncclient is a person's device as a program: it stays connected, keeps
// what it sends until that is answered, and misses nothing of what is sent to
// it. It does what the page does, over the same public protocol; tests and the
// load tool are made of many of them.
//
// What it sees of a conversation it sees in the order of rev, each change once:
// package syncstate decides about that.
package syncclient

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/backoff"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/client"
	"github.com/hikyaku-chat/hikyaku/internal/syncclient/syncstate"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// Config is how a device behaves. Zero values mean the defaults.
type Config struct {
	// Window is how many messages may be without an answer; default 32.
	Window int
	// FromStart has the device read all conversations from their beginning;
	// else it begins with what happens after its first connection.
	FromStart bool
	// Longest is the longest wait between two tries to connect; default 2 s.
	Longest time.Duration

	// The callbacks come one at a time, in order, and must not block or call
	// the device.

	OnMessage  func(wire.Message)                                  // a message that is new to the device, or was changed
	OnAccepted func(*Outgoing)                                     // a message of its own is kept
	OnFailed   func(id chat.ClientID, code chat.Code, text string) // a message of its own was refused for good, before or after it was accepted
}

// Outgoing is a message that the device was given to send.
type Outgoing struct {
	wire.Send
	At       time.Time // when it was given
	Accepted time.Time // when it was accepted; zero before

	out bool // on its way on the present connection
}

// Client is one device. Its methods may be called concurrently.
type Client struct {
	cfg    Config
	client *client.Client
	stop   context.CancelFunc
	done   chan struct{}

	mu       sync.Mutex
	socket   *client.Socket // nil while there is no connection
	state    syncstate.Machine
	outboxes map[chat.ConversationID]*outbox
	inFlight int
	waiting  int             // messages without an answer, in flight or not
	retry    backoff.Backoff // between tries to connect
}

// outbox holds a conversation's messages without an answer, in order.
type outbox struct {
	messages []*Outgoing
	resume   time.Time // the server wants nothing of it before
}

// Start begins to connect as the client's account and goes on until Close.
func Start(c *client.Client, cfg Config) *Client {
	if cfg.Window == 0 {
		cfg.Window = 32
	}
	if cfg.Longest == 0 {
		cfg.Longest = 2 * time.Second
	}
	ctx, stop := context.WithCancel(context.Background())
	d := &Client{
		cfg: cfg, client: c, stop: stop, done: make(chan struct{}),
		retry:    backoff.Backoff{InitialInterval: 50 * time.Millisecond, MaxInterval: cfg.Longest, Jitter: 1},
		state:    syncstate.New(syncstate.Options{FromStart: cfg.FromStart}),
		outboxes: map[chat.ConversationID]*outbox{},
	}
	go d.run(ctx)
	return d
}

// Close disconnects for good.
func (d *Client) Close() {
	d.stop()
	<-d.done
}

// Waiting is how many messages have no answer yet.
func (d *Client) Waiting() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.waiting
}

// Send gives the device a message to send, under a fresh id. It never waits.
func (d *Client) Send(to chat.ConversationID, body string) *Outgoing {
	m := &Outgoing{Send: wire.Send{T: "send", ID: client.NewClientID(), Conversation: to, Body: body}, At: time.Now()}
	d.mu.Lock()
	defer d.mu.Unlock()
	box := d.outboxes[to]
	if box == nil {
		box = &outbox{}
		d.outboxes[to] = box
	}
	box.messages = append(box.messages, m)
	d.waiting++
	d.pump(box)
	return m
}

func (d *Client) run(ctx context.Context) {
	defer close(d.done)
	for ctx.Err() == nil {
		why := d.connection(ctx)
		if errors.Is(why, client.ErrGoodbye) {
			continue // it was given its moment
		}
		d.mu.Lock()
		wait := d.retry.Next()
		d.mu.Unlock()
		_ = backoff.Sleep(ctx, wait)
	}
}

// connection lives through one connection and tells why it ended.
func (d *Client) connection(ctx context.Context) error {
	dialCtx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	// Frames that come before the connection is known here wait.
	ready := make(chan struct{})
	s, err := d.client.Dial(dialCtx, func(f client.Frame) {
		<-ready
		d.heard(f)
	})
	if err != nil {
		close(ready)
		return err
	}
	d.mu.Lock()
	d.socket, d.inFlight = s, 0
	d.retry.Reset()
	d.ask(d.state.Connected(time.Now(), s.Hello.User.ID))
	for _, box := range d.outboxes {
		for _, m := range box.messages {
			m.out = false
		}
		box.resume = time.Time{}
	}
	d.pumpAll()
	d.mu.Unlock()
	close(ready)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			s.Close()
			d.lost()
			return ctx.Err()
		case <-s.Done():
			d.lost()
			return s.Err()
		case <-tick.C:
			d.mu.Lock()
			d.pumpAll()
			d.ask(d.state.Tick(time.Now()))
			d.mu.Unlock()
		}
	}
}

func (d *Client) lost() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.socket = nil
}

// say sends a frame on the present connection; a loss is noticed elsewhere.
func (d *Client) say(frame any) {
	if d.socket != nil {
		_ = d.socket.Send(frame)
	}
}

func (d *Client) ask(frames []wire.Sync) {
	for i := range frames {
		d.say(frames[i])
	}
}
