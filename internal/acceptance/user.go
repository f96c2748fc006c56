// Package acceptance tests messaging over nothing but the public protocol. The
// same cases run against one process and against a cluster.
package acceptance

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/batching"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/client"
	"github.com/hikyaku-chat/hikyaku/internal/eventually"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// Timeout bounds every wait. Only a fault takes that long.
const Timeout = eventually.Timeout

const testPassword = "correct horse battery"

// SetupToken is the setup token of the systems under test.
const SetupToken = "the-operator-of-this-test"

// Register makes an account.
func Register(t testing.TB, url, name string) *client.Client {
	t.Helper()
	c, err := client.New(url)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Register(t.Context(), name, testPassword, SetupToken); err != nil {
		t.Fatalf("register %s: %v", name, err)
	}
	return c
}

// User is a registered account with one socket whose frames are kept. It sends a
// message of [User.SendMessage] again when it is told that this was not possible now,
// as every client does: a server that gets no processor for seconds, on a busy machine,
// loses connections to others.
type User struct {
	*client.Client
	t      testing.TB
	Socket *client.Socket

	mu      sync.Mutex
	sent    map[chat.ClientID]wire.Send
	frames  []ReceivedFrame
	arrived batching.Signal
}

// ReceivedFrame is a frame that was received.
type ReceivedFrame struct {
	T   string
	Raw json.RawMessage
}

// Connect opens a socket.
func Connect(t testing.TB, c *client.Client) *User {
	t.Helper()
	p := &User{Client: c, t: t, sent: map[chat.ClientID]wire.Send{}, arrived: batching.NewSignal()}
	s, err := c.Dial(t.Context(), func(f client.Frame) {
		if p.sendAgain(f) {
			return
		}
		p.mu.Lock()
		p.frames = append(p.frames, ReceivedFrame{T: f.T, Raw: json.RawMessage(strings.Clone(string(f.Raw)))})
		p.mu.Unlock()
		p.arrived.Notify()
	})
	if err != nil {
		t.Fatal(err)
	}
	p.Socket = s
	t.Cleanup(s.Close)
	return p
}

// Join makes an account and opens a socket.
func Join(t testing.TB, url, name string) *User {
	t.Helper()
	return Connect(t, Register(t, url, name))
}

// Send sends a frame.
func (p *User) Send(frame any) {
	p.t.Helper()
	if err := p.Socket.Send(frame); err != nil {
		p.t.Fatalf("send: %v", err)
	}
}

// SendMessage sends a message with a new id and returns the id.
func (p *User) SendMessage(id chat.ConversationID, body string) chat.ClientID {
	p.t.Helper()
	clientID := client.NewClientID()
	message := wire.Send{T: "send", ID: clientID, Conversation: id, Body: body}
	p.mu.Lock()
	p.sent[clientID] = message
	p.mu.Unlock()
	p.Send(message)
	return clientID
}

// sendAgain has a message sent again, after the time that its rejection gives. It
// reports false for any other frame.
func (p *User) sendAgain(f client.Frame) bool {
	var r wire.Rejected
	if f.T != "rejected" || f.Into(&r) != nil || r.Code != string(chat.CodeUnavailable) || r.RetryAfterMS <= 0 {
		return false
	}
	p.mu.Lock()
	message, sent := p.sent[r.ID]
	p.mu.Unlock()
	if sent {
		time.AfterFunc(time.Duration(r.RetryAfterMS)*time.Millisecond, func() {
			_ = p.Socket.Send(message) // the connection may have ended
		})
	}
	return sent
}

// Await waits for a frame of type t that satisfies ok (nil accepts any),
// decodes it into a T and removes it.
func Await[T any](p *User, t string, ok func(T) bool) T {
	p.t.Helper()
	deadline := time.After(Timeout)
	for {
		p.mu.Lock()
		for i, f := range p.frames {
			if f.T != t {
				continue
			}
			var v T
			if err := json.Unmarshal(f.Raw, &v); err != nil {
				p.t.Fatalf("%s: %v", f.Raw, err)
			}
			if ok == nil || ok(v) {
				p.frames = append(p.frames[:i:i], p.frames[i+1:]...)
				p.mu.Unlock()
				return v
			}
		}
		p.mu.Unlock()
		select {
		case <-p.arrived:
		case <-p.Socket.Done():
			p.t.Fatalf("%s waits for %s, and the connection ended: %v", p.Me().Name, t, p.Socket.Err())
		case <-deadline:
			p.mu.Lock()
			defer p.mu.Unlock()
			p.t.Fatalf("%s waits for %s in vain; got %s", p.Me().Name, t, frameTexts(p.frames))
		}
	}
}

func frameTexts(frames []ReceivedFrame) string {
	var all []string
	for _, f := range frames {
		all = append(all, string(f.Raw))
	}
	return strings.Join(all, "\n")
}

// ExpectNone fails the test if a frame of type t that satisfies ok was received
// by the time that a frame sent now is answered: a withdrawal of nothing, because
// pings that follow each other fast are not answered.
func ExpectNone[T any](p *User, t string, ok func(T) bool) {
	p.t.Helper()
	nothing := client.NewClientID()
	p.Send(wire.Withdraw{T: "withdraw", ID: nothing})
	Await(p, "withdrawn", func(f wire.Withdrawn) bool { return f.ID == nothing })
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.frames {
		var v T
		if f.T == t && json.Unmarshal(f.Raw, &v) == nil && (ok == nil || ok(v)) {
			p.t.Errorf("%s must not get %s", p.Me().Name, f.Raw)
		}
	}
}

// IsBody matches a message by its text.
func IsBody(body string) func(wire.MessageFrame) bool {
	return func(f wire.MessageFrame) bool { return f.Body == body }
}

// IsID matches the acceptance of a message.
func IsID(id chat.ClientID) func(wire.Accepted) bool {
	return func(f wire.Accepted) bool { return f.ID == id }
}

// IsRejected matches the rejection of a message.
func IsRejected(id chat.ClientID) func(wire.Rejected) bool {
	return func(f wire.Rejected) bool { return f.ID == id }
}

// ProblemCode returns the code of an error of the REST API.
func ProblemCode(err error) string {
	var p *client.Problem
	if errors.As(err, &p) {
		return p.Code
	}
	return fmt.Sprint(err)
}

// CloseCode waits until the server has closed the connection, and returns the
// close code.
func CloseCode(t *testing.T, p *User) int {
	t.Helper()
	select {
	case <-p.Socket.Done():
	case <-time.After(Timeout):
		t.Fatal("the connection lives")
	}
	var c *client.CloseError
	if !errors.As(p.Socket.Err(), &c) {
		t.Fatalf("ended with %v", p.Socket.Err())
	}
	return c.Code
}

// Frames returns the frames of a type that were received and not awaited.
func Frames(p *User, t string) (found []ReceivedFrame) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.frames {
		if f.T == t {
			found = append(found, f)
		}
	}
	return found
}

// AwaitAnswer waits for the answer to a message. It calls rejected if that is a
// rejection.
func (p *User) AwaitAnswer(id chat.ClientID, rejected func(*wire.Rejected)) {
	p.t.Helper()
	deadline := time.Now().Add(Timeout)
	for time.Now().Before(deadline) {
		p.mu.Lock()
		for i, f := range p.frames {
			if (f.T == "accepted" || f.T == "rejected") && strings.Contains(string(f.Raw), id.String()) {
				p.frames = append(p.frames[:i:i], p.frames[i+1:]...)
				p.mu.Unlock()
				if f.T == "rejected" {
					var r wire.Rejected
					if err := (client.Frame{Raw: f.Raw}).Into(&r); err != nil {
						p.t.Fatal(err)
					}
					rejected(&r)
				}
				return
			}
		}
		p.mu.Unlock()
		select {
		case <-p.arrived:
		case <-time.After(Timeout):
		}
	}
	p.t.Fatalf("no answer to %s", id)
}

var userCount atomic.Int64

// join registers and connects an account with a unique name that begins with
// name.
func join(t testing.TB, url, name string) *User {
	t.Helper()
	return Join(t, url, fmt.Sprintf("%s%d", name, userCount.Add(1)))
}
