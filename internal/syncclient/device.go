// Package syncclient is a person's device as a program: it stays connected, keeps
// what it sends until that is answered, and misses nothing of what is sent to
// it. It does what the page does, over the same public protocol; tests and the
// load tool are made of many of them.
//
// What it sees of a conversation it sees in the order of rev, each change once:
// a live frame that is not the next one is not taken but asked for with sync,
// and so is what a head check finds missing (G4).
package syncclient

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/backoff"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/client"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// Config is how a device behaves. Zero values mean the defaults.
type Config struct {
	// MaxInFlight is how many messages may be without an answer; default 32.
	MaxInFlight int
	// FromStart has the device read all conversations from their beginning;
	// else it begins with what happens after its first connection.
	FromStart bool
	// MaxBackoff is the longest wait between two tries to connect; default 2 s.
	MaxBackoff time.Duration

	// The callbacks come one at a time, in order, and must not block or call
	// the device.

	OnMessage  func(wire.Message)                                  // a message that is new to the device, or was changed
	OnAccepted func(*Outgoing)                                     // a message of its own is kept
	OnFailed   func(id chat.ClientID, code chat.Code, text string) // a message of its own was refused for good, before or after it was accepted
}

// Outgoing is a message that the device was given to send.
type Outgoing struct {
	wire.Send
	QueuedAt   time.Time // when it was given
	AcceptedAt time.Time // when it was accepted; zero before

	inFlight bool // on its way on the present connection
}

// Client is one device. Its methods may be called concurrently.
type Client struct {
	cfg  Config
	api  *client.Client
	stop context.CancelFunc
	done chan struct{}

	mu            sync.Mutex
	socket        *client.Socket // nil while there is no connection
	me            chat.UserID
	cursor        string
	listSyncing   bool // a sync of the list is under way
	listAgain     bool // and another one is due after it
	conversations map[chat.ConversationID]*conversation
	outboxes      map[chat.ConversationID]*outbox
	inFlight      int
	pending       int             // messages without an answer, in flight or not
	synced        bool            // the first list is complete
	retry         backoff.Backoff // between tries to connect
	serverSum     int64           // sum of a pong that was not ours; 0 for none
	serverCount   int             // its number of conversations
	behindSince   time.Time       // when it came
}

// conversation is what the device has seen of a conversation.
type conversation struct {
	rev, read  int64
	latest     int64     // the highest rev heard of
	syncSentAt time.Time // when the last sync was sent that has no answer; zero without
	syncTarget int64     // the highest rev heard of by then
}

// outbox holds a conversation's messages without an answer, in order.
type outbox struct {
	messages []*Outgoing
	resumeAt time.Time // the server wants nothing of it before
}

// Start begins to connect as the client's account and goes on until Close.
func Start(c *client.Client, cfg Config) *Client {
	if cfg.MaxInFlight == 0 {
		cfg.MaxInFlight = 32
	}
	if cfg.MaxBackoff == 0 {
		cfg.MaxBackoff = 2 * time.Second
	}
	ctx, stop := context.WithCancel(context.Background())
	d := &Client{
		cfg: cfg, api: c, stop: stop, done: make(chan struct{}),
		retry:         backoff.Backoff{InitialInterval: 50 * time.Millisecond, MaxInterval: cfg.MaxBackoff, Jitter: 1},
		conversations: map[chat.ConversationID]*conversation{}, outboxes: map[chat.ConversationID]*outbox{},
	}
	go d.run(ctx)
	return d
}

// Close disconnects for good.
func (d *Client) Close() {
	d.stop()
	<-d.done
}

// Pending is how many messages have no answer yet.
func (d *Client) Pending() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.pending
}

// Send gives the device a message to send, under a fresh id. It never waits.
func (d *Client) Send(to chat.ConversationID, body string) *Outgoing {
	m := &Outgoing{Send: wire.Send{T: "send", ID: client.NewClientID(), Conversation: to, Body: body}, QueuedAt: time.Now()}
	d.mu.Lock()
	defer d.mu.Unlock()
	box := d.outboxes[to]
	if box == nil {
		box = &outbox{}
		d.outboxes[to] = box
	}
	box.messages = append(box.messages, m)
	d.pending++
	d.flush(box)
	return m
}

func (d *Client) run(ctx context.Context) {
	defer close(d.done)
	for ctx.Err() == nil {
		why := d.runConnection(ctx)
		if errors.Is(why, client.ErrGoodbye) {
			continue // it was given its moment
		}
		d.mu.Lock()
		wait := d.retry.Next()
		d.mu.Unlock()
		_ = backoff.Sleep(ctx, wait)
	}
}

// runConnection lives through one connection and tells why it ended.
func (d *Client) runConnection(ctx context.Context) error {
	dialCtx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	// Frames that come before the connection is known here wait.
	ready := make(chan struct{})
	s, err := d.api.Dial(dialCtx, func(f client.Frame) {
		<-ready
		d.handleFrame(f)
	})
	if err != nil {
		close(ready)
		return err
	}
	d.mu.Lock()
	d.socket, d.me, d.inFlight = s, s.Hello.User.ID, 0
	d.retry.Reset()
	d.listSyncing, d.listAgain, d.serverSum = false, false, 0
	for _, v := range d.conversations {
		v.syncSentAt = time.Time{}
	}
	d.syncList()
	for _, box := range d.outboxes {
		for _, m := range box.messages {
			m.inFlight = false
		}
		box.resumeAt = time.Time{}
	}
	d.flushAll()
	d.mu.Unlock()
	close(ready)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			s.Close()
			d.disconnected()
			return ctx.Err()
		case <-s.Done():
			d.disconnected()
			return s.Err()
		case <-tick.C:
			d.mu.Lock()
			d.flushAll()
			d.resync()
			d.mu.Unlock()
		}
	}
}

func (d *Client) disconnected() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.socket = nil
}

// send sends a frame on the present connection; a loss is noticed elsewhere.
func (d *Client) send(frame any) {
	if d.socket != nil {
		_ = d.socket.Send(frame)
	}
}
