package syncclient_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/app"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/client"
	"github.com/hikyaku-chat/hikyaku/internal/gateway"
	"github.com/hikyaku-chat/hikyaku/internal/password"
	"github.com/hikyaku-chat/hikyaku/internal/stack/stacktest"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// setupToken makes the first account of the server under test.
const setupToken = "the-operator-of-this-test"

var update = flag.Bool("update", false, "write the traces as they are recorded now")

// longest bounds every wait; it is never waited for in full unless something is
// wrong.
const longest = time.Minute

// checkInterval is how often the gateway looks whether something has changed since
// the cursor of a heartbeat.
const checkInterval = 100 * time.Millisecond

// scenarios are what is recorded, by the names of the files.
var scenarios = map[string]struct {
	about string
	play  func(*recorder)
}{
	"first-open": {
		"The first connection: three conversations, of which one is empty.",
		func(r *recorder) {
			team, pair, empty := r.group("Team"), r.direct(), r.group("Empty")
			r.say(team, 3)
			r.say(pair, 2)
			r.open(team, pair, empty)
		},
	},
	"live": {
		"Everything is pushed: messages, an edit, a delete, a name, what was read on another device.",
		func(r *recorder) {
			team := r.group("Team")
			r.say(team, 1)
			r.open(team)
			for range 3 {
				r.say(team, 1)
				r.push("message")
			}
			r.edit(team, 2)
			r.push("edited")
			r.remove(team, 3)
			r.push("deleted")
			r.do(r.aki, http.MethodPatch, "/conversations/"+team.String(), map[string]string{"title": "Crew"})
			r.push("conversation")
			r.do(r.ben, http.MethodPut, "/conversations/"+team.String()+"/marks", map[string]int64{"read": 3})
			r.push("mark")
			r.say(team, 1)
			r.push("message")
			r.check()
			r.ask() // the list, which has nothing new
			r.wait(1000)
		},
	},
	"added-live": {
		"Somebody adds the user to a new conversation, which then goes on.",
		func(r *recorder) {
			r.open()
			team := r.group("Team")
			r.push("conversation")
			r.ask() // the list
			r.history(team)
			r.wait(1000)
			r.ask(byGo)
			r.say(team, 2)
			r.push("message")
			r.push("message")
		},
	},
	"pages": {
		"More was said while the user was away than one answer holds.",
		func(r *recorder) {
			team := r.group("Team")
			r.say(team, 1)
			r.open(team)
			r.cut()
			r.say(team, 120)
			r.connect()
			r.ask() // the list
			r.ask() // two pages
			r.ask()
		},
	},
	"gap": {
		"A message is lost, and others follow.",
		func(r *recorder) {
			team := r.group("Team")
			r.say(team, 2)
			r.open(team)
			r.say(team, 3)
			r.lose("message")
			r.push("message")
			r.push("message")
			r.ask()
			r.say(team, 1)
			r.push("message")
		},
	},
	"name-lost": {
		"A new name is lost, and a message follows. No answer about messages tells the name.",
		func(r *recorder) {
			team := r.group("Team")
			r.say(team, 2)
			r.open(team)
			r.do(r.aki, http.MethodPatch, "/conversations/"+team.String(), map[string]string{"title": "Crew"})
			r.lose("conversation")
			r.say(team, 1)
			r.push("message")
			r.ask()
			r.askPage(wire.Sync{Cursor: r.device.Cursor()})
			r.wait(1000)
		},
	},
	"last-lost": {
		"The last message is lost, and an edit elsewhere; the server finds that by the cursor of a ping.",
		func(r *recorder) {
			team, pair := r.group("Team"), r.direct()
			r.say(team, 2)
			r.say(pair, 2)
			r.open(team, pair)
			r.edit(team, 1)
			r.lose("edited")
			r.say(pair, 1)
			r.lose("message")
			r.check()
			r.ask() // the list
			r.wait(1000)
			r.ask() // both
			r.ask()
			r.ping() // nothing has changed since
			r.push("pong")
			r.wait(1000)
		},
	},
	"resync": {
		"The server says that pushes may have been lost, twice. The connection puts that in: a server says it when its bus has lost something.",
		func(r *recorder) {
			team := r.group("Team")
			r.say(team, 1)
			r.open(team)
			r.say(team, 1)
			r.lose("message")
			r.remove(team, 1)
			r.lose("deleted")
			resync := []byte(`{"t":"resync"}`)
			for range 2 {
				r.step(step{Push: resync})
				r.device.receive(resync)
			}
			r.ask() // the list
			r.ask() // and again
			r.wait(1000)
			r.ask() // the changes
		},
	},
	"removed-while-away": {
		"The user is taken out of one conversation while away, and the other goes on.",
		func(r *recorder) {
			team, other := r.group("Team"), r.group("Other")
			r.say(team, 2)
			r.say(other, 2)
			r.open(team, other)
			r.cut()
			r.say(team, 1)
			if err := r.aki.Remove(r.t.Context(), team, r.ben.Me().ID); err != nil {
				r.t.Fatal(err)
			}
			r.say(other, 1) // what Aki hears of it comes after what is pushed about the removal
			r.connect()
			r.ask()
			r.ask()
		},
	},
	"removed-live": {
		"The user is taken out of a conversation while connected, with a gap before it.",
		func(r *recorder) {
			team := r.group("Team")
			r.say(team, 2)
			r.open(team)
			r.say(team, 1)
			r.lose("message")
			if err := r.aki.Remove(r.t.Context(), team, r.ben.Me().ID); err != nil {
				r.t.Fatal(err)
			}
			r.push("removed")
			r.check()
			r.ask()
			r.wait(1000)
		},
	},
	"changes-while-away": {
		"Messages are edited and deleted while the user is away, and a new one is said.",
		func(r *recorder) {
			team := r.group("Team")
			r.say(team, 4)
			r.open(team)
			r.cut()
			r.edit(team, 2)
			r.remove(team, 3)
			r.edit(team, 2)
			r.say(team, 1)
			r.connect()
			r.ask()
			r.ask()
		},
	},
	"cut-while-catching-up": {
		"The connection is cut after the first page of what was missed, and before the second.",
		func(r *recorder) {
			team := r.group("Team")
			r.say(team, 1)
			r.open(team)
			r.cut()
			r.say(team, 120)
			r.connect()
			r.ask()
			r.ask()
			r.unanswered()
			r.cut()
			r.connect()
			r.ask() // the same list
			r.ask()
		},
	},
}

// Every scenario runs against a real server, over a connection that loses and
// cuts, and goes as it went when its trace was written.
func TestRecord(t *testing.T) {
	stacktest.SkipIfShort(t)
	for name, s := range scenarios {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := record(t, s.about)
			s.play(r)
			r.end()
			if t.Failed() {
				return
			}
			got := r.trace.encode(t)
			if *update {
				if err := os.WriteFile(tracePath(name), got, 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(tracePath(name))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("it goes another way than %s; -update writes it anew, then look at the differences. Now:\n%s", tracePath(name), got)
			}
		})
	}
}

// recorder has Ben's device at the end of a connection that does what the
// scenario says, and Aki, who talks to him.
type recorder struct {
	t        *testing.T
	aki, ben *client.Client
	akis     *client.Socket
	heard    chan wire.MessageFrame // by Aki, of what she said
	trace    trace
	device   *device
	socket   *client.Socket
	frames   chan []byte // to Ben
	pinged   atomic.Bool // and a pong is to come
	checked  time.Time   // when the gateway may have looked at the device
	asks     int         // for the page
}

func record(t *testing.T, about string) *recorder {
	t.Helper()
	a, err := app.Start(t.Context(), app.Config{
		Listen: "127.0.0.1:0", Data: t.TempDir(), Registration: "open", Registrations: 100_000, SetupToken: setupToken, Drain: 10 * time.Second, Version: "1.2.3",
		Hash: password.Config{MemoryKiB: 64, Concurrency: 8}.WithDefaults(), Push: app.PushConfig{Contact: "mailto:nobody@example.org", Delay: time.Second},
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Gateway: gateway.Config{
			PerSecond: 1000, Burst: 1000, InFlight: 128, Heartbeat: time.Minute, CheckInterval: checkInterval, IdleTimeout: 3 * time.Minute, AwayGrace: time.Minute,
			ConnectionsPerUser: 50, GoodbyeSpread: time.Second,
		}.WithDefaults(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), longest)
		defer cancel()
		if err := a.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	r := &recorder{
		t: t, device: newDevice(), trace: trace{About: about}, heard: make(chan wire.MessageFrame, 1000),
	}
	r.aki, r.ben = r.register(a.URL(), "aki"), r.register(a.URL(), "ben")
	r.trace.Me = r.ben.Me().ID
	if r.akis, err = r.aki.Dial(t.Context(), func(f client.Frame) {
		var m wire.MessageFrame
		if f.T == "message" && f.Into(&m) == nil {
			r.heard <- m
		}
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.akis.Close)
	return r
}

func (r *recorder) register(url, name string) *client.Client {
	r.t.Helper()
	c, err := client.New(url)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := c.Register(r.t.Context(), name, "correct horse battery", setupToken); err != nil {
		r.t.Fatal(err)
	}
	return c
}

func (r *recorder) do(c *client.Client, method, path string, body any) {
	r.t.Helper()
	if err := c.Do(r.t.Context(), method, path, body, nil); err != nil {
		r.t.Fatal(err)
	}
}

// What Aki does.

func (r *recorder) group(title string) chat.ConversationID {
	r.t.Helper()
	c, err := r.aki.CreateGroup(r.t.Context(), title, r.ben.Me().ID)
	if err != nil {
		r.t.Fatal(err)
	}
	return c.ID
}

func (r *recorder) direct() chat.ConversationID {
	r.t.Helper()
	c, err := r.aki.CreateDirect(r.t.Context(), r.ben.Me().ID)
	if err != nil {
		r.t.Fatal(err)
	}
	return c.ID
}

// say says so many things, each when the one before is stored.
func (r *recorder) say(id chat.ConversationID, count int) {
	r.t.Helper()
	for range count {
		send := wire.Send{T: "send", ID: client.NewClientID(), Conversation: id, Body: "hello"}
		if err := r.akis.Send(send); err != nil {
			r.t.Fatal(err)
		}
		if m := next(r.t, r.heard, "Aki's own message"); m.ClientID != send.ID {
			r.t.Fatalf("Aki hears %+v", m)
		}
	}
}

func (r *recorder) edit(id chat.ConversationID, seq int64) {
	r.t.Helper()
	r.do(r.aki, http.MethodPatch, fmt.Sprintf("/conversations/%v/messages/%d", id, seq), map[string]string{"body": fmt.Sprint("another ", r.asks, len(r.trace.Steps))})
}

func (r *recorder) remove(id chat.ConversationID, seq int64) {
	r.t.Helper()
	r.do(r.aki, http.MethodDelete, fmt.Sprintf("/conversations/%v/messages/%d", id, seq), nil)
}

// What happens to Ben's device.

func next[T any](t *testing.T, from <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(longest):
		t.Fatalf("no %s has come", what)
	}
	return v
}

func (r *recorder) step(s step) { r.trace.Steps = append(r.trace.Steps, s) }

func (r *recorder) connect() {
	r.t.Helper()
	frames := make(chan []byte, 1000)
	socket, err := r.ben.Dial(r.t.Context(), func(f client.Frame) {
		// Heartbeats are those that the scenario wants, not the socket's own.
		if f.T != "pong" || r.pinged.CompareAndSwap(true, false) {
			frames <- bytes.Clone(f.Raw)
		}
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(socket.Close)
	r.socket, r.frames, r.checked = socket, frames, time.Now()
	hello, err := json.Marshal(socket.Hello)
	if err != nil {
		r.t.Fatal(err)
	}
	r.step(step{Connect: hello})
	r.device.asked = r.device.Connected(r.device.now, r.trace.Me, "")
}

func (r *recorder) cut() {
	r.t.Helper()
	r.idle()
	r.socket.CloseNow()
	r.step(step{Cut: true})
}

// idle checks that the device has no question left.
func (r *recorder) idle() {
	r.t.Helper()
	if len(r.device.asked) > 0 {
		r.t.Fatalf("after step %d the device asks %+v", len(r.trace.Steps), r.device.asked)
	}
}

// open begins: the device lists the conversations, and reads them.
func (r *recorder) open(all ...chat.ConversationID) {
	r.t.Helper()
	r.connect()
	r.ask()
	for range all {
		r.ask(byGo)
	}
	for _, id := range all {
		r.history(id)
	}
	r.idle()
}

func (r *recorder) wait(ms int) {
	r.t.Helper()
	r.idle()
	r.step(step{Wait: ms})
	r.device.wait(ms)
}

// next is the next frame from the server, of a kind.
func (r *recorder) next(kind string) []byte {
	r.t.Helper()
	f := next(r.t, r.frames, kind)
	if !bytes.HasPrefix(f, []byte(`{"t":"`+kind+`"`)) {
		r.t.Fatalf("after step %d the server says %s, not %s", len(r.trace.Steps), f, kind)
	}
	return f
}

// push lets the next frame through.
func (r *recorder) push(kind string) {
	r.t.Helper()
	f := r.next(kind)
	r.step(step{Push: f})
	r.device.receive(f)
}

// ping sends the device's heartbeat, when the gateway looks at devices again.
func (r *recorder) ping() {
	r.t.Helper()
	ping := wire.Ping{T: "ping", Cursor: r.device.Cursor()}
	r.step(step{Ping: &ping})
	r.sendPing(ping)
}

func (r *recorder) sendPing(ping wire.Ping) {
	r.t.Helper()
	<-time.After(time.Until(r.checked.Add(checkInterval + 10*time.Millisecond)))
	r.checked = time.Now()
	r.pinged.Store(true)
	if err := r.socket.Send(ping); err != nil {
		r.t.Fatal(err)
	}
}

// check has the gateway find by a heartbeat that something has changed since the
// device's cursor.
func (r *recorder) check() {
	r.t.Helper()
	r.ping()
	r.push("pong")
	r.push("resync")
}

// lose has the next frame not come through.
func (r *recorder) lose(kind string) {
	r.t.Helper()
	r.step(step{Lose: r.next(kind)})
}

// ask has the device's next question answered. When it is only the Go client's
// that is said.
func (r *recorder) ask(clients ...string) {
	r.t.Helper()
	q, answer := r.question(clients...)
	r.device.receive(r.request(q, answer))
}

func (r *recorder) question(clients ...string) (wire.Sync, *step) {
	r.t.Helper()
	if len(r.device.asked) == 0 {
		r.t.Fatalf("after step %d the device asks nothing", len(r.trace.Steps))
	}
	q := r.device.asked[0]
	r.device.asked = r.device.asked[1:]
	question := questionOf(q)
	r.step(step{Ask: &question, By: clients})
	return q, &r.trace.Steps[len(r.trace.Steps)-1]
}

func (r *recorder) request(q wire.Sync, s *step) []byte {
	r.t.Helper()
	if err := r.socket.Send(q); err != nil {
		r.t.Fatal(err)
	}
	kind := "synced"
	if q.Conversation != 0 {
		kind = "changes"
	}
	f := r.next(kind)
	s.Answer = []byte(strings.Replace(string(f), `"id":"`+q.ID+`"`, anyID, 1))
	return f
}

// unanswered has the device's next question get no answer.
func (r *recorder) unanswered() {
	r.t.Helper()
	r.question()
}

// askPage asks what the page alone asks.
func (r *recorder) askPage(q wire.Sync) {
	r.t.Helper()
	r.asks++
	q.T, q.ID = "sync", fmt.Sprint("page ", r.asks)
	question := questionOf(q)
	r.step(step{Ask: &question, By: []string{byPage}})
	r.request(q, &r.trace.Steps[len(r.trace.Steps)-1])
}

// get asks the REST API what the page alone asks.
func (r *recorder) get(path string) {
	r.t.Helper()
	var answer json.RawMessage
	if err := r.ben.Do(r.t.Context(), http.MethodGet, path, nil, &answer); err != nil {
		r.t.Fatal(err)
	}
	r.step(step{Get: path, By: []string{byPage}, Answer: answer})
}

// history has the page open a conversation.
func (r *recorder) history(id chat.ConversationID) {
	r.t.Helper()
	r.get(fmt.Sprintf("/conversations/%v/messages?limit=60", id))
}

// end notes what the server has, which the device has as well.
func (r *recorder) end() {
	r.t.Helper()
	r.idle()
	r.sendPing(wire.Ping{T: "ping"})
	r.next("pong") // and nothing before it
	r.trace.End = map[chat.ConversationID]state{}
	var all struct{ Items []wire.Summary }
	if err := r.ben.Do(r.t.Context(), http.MethodGet, "/conversations", nil, &all); err != nil {
		r.t.Fatal(err)
	}
	for i := range all.Items {
		c := &all.Items[i]
		history, err := r.ben.History(r.t.Context(), c.ID)
		if err != nil {
			r.t.Fatal(err)
		}
		s := state{Rev: c.Rev, Read: c.Read, Unread: c.Unread, Messages: [][2]int64{}}
		for j := range history {
			s.Messages = append(s.Messages, [2]int64{history[j].Seq, history[j].Rev})
		}
		slices.SortFunc(s.Messages, func(a, b [2]int64) int { return int(a[0] - b[0]) })
		r.trace.End[c.ID] = s
	}
	r.device.requireState(r.t, r.trace.End)
}
