package syncstate_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/syncclient/syncstate"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// device is a machine with a clock, and what it has asked and shown.
type device struct {
	syncstate.Machine
	t     *testing.T
	now   time.Time
	asked []wire.Sync
	shown []int64 // revs
	after time.Duration
}

// begin is a device that has seen what there is: nothing, in conversation 7.
func begin(t *testing.T, o syncstate.Options) *device {
	t.Helper()
	d := &device{t: t, now: time.Unix(1_000_000, 0), Machine: syncstate.New(o)}
	d.asked = d.Connected(d.now, 1)
	d.asks("list ")
	d.listed("1", "a", conversation(7, 0))
	if !d.Whole() {
		t.Fatal("something is missing of what is empty")
	}
	return d
}

func conversation(id chat.ConversationID, rev int64) wire.Summary {
	return wire.Summary{Conversation: wire.Conversation{ID: id, Kind: chat.Group, Rev: rev}, Role: chat.Member}
}

func (d *device) hear(t string, frame any) {
	d.t.Helper()
	raw, err := json.Marshal(frame)
	if err != nil {
		d.t.Fatal(err)
	}
	out := d.Handle(d.now, t, raw)
	d.asked, d.after = append(d.asked, out.Send...), out.After
	for i := range out.Messages {
		d.shown = append(d.shown, out.Messages[i].Rev)
	}
}

func message(rev int64) wire.Message {
	return wire.Message{Conversation: 7, Seq: rev, Rev: rev, ID: 1, Sender: 1, ClientID: chat.ClientID(uuid.Must(uuid.NewV7())), Body: "x"}
}

func (d *device) pushed(revs ...int64) {
	d.t.Helper()
	for _, rev := range revs {
		d.hear("message", wire.MessageFrame{T: "message", Message: message(rev)})
	}
}

func (d *device) listed(id, cursor string, all ...wire.Summary) {
	d.t.Helper()
	d.hear("synced", wire.Synced{T: "synced", ID: id, Conversations: all, Cursor: cursor})
}

func (d *device) answered(id string, more bool, revs ...int64) {
	d.t.Helper()
	f := wire.Changes{T: "changes", ID: id, Conversation: 7, More: more}
	for _, rev := range revs {
		f.Messages = append(f.Messages, message(rev))
		f.Rev = rev
	}
	d.hear("changes", f)
}

func (d *device) wait(pause time.Duration) {
	d.now = d.now.Add(pause)
	d.asked = append(d.asked, d.Tick(d.now)...)
}

// asks checks what has been asked since the last time, each as "list CURSOR" or
// "CONVERSATION after REV".
func (d *device) asks(want ...string) {
	d.t.Helper()
	var got []string
	for _, f := range d.asked {
		if f.Conversation == 0 {
			got = append(got, "list "+f.Cursor)
		} else {
			got = append(got, fmt.Sprintf("%d after %d", f.Conversation, f.Rev))
		}
	}
	d.asked = nil
	if !slices.Equal(got, want) {
		d.t.Errorf("it asked %q, not %q", got, want)
	}
}

func (d *device) shows(revs ...int64) {
	d.t.Helper()
	if !slices.Equal(d.shown, revs) {
		d.t.Errorf("it showed %v, not %v", d.shown, revs)
	}
}

func TestChangesAreTakenInOrderAndOnce(t *testing.T) {
	d := begin(t, syncstate.Options{})
	d.pushed(1, 1, 3, 2, 3, 4)
	d.asks("7 after 1")
	d.shows(1, 2, 3, 4)
	d.answered("2", false, 2, 3)
	d.asks()
	d.shows(1, 2, 3, 4)
	d.hear("conversation", wire.ConversationFrame{T: "conversation", Conversation: conversation(7, 5).Conversation, By: 1})
	d.pushed(6)
	d.shows(1, 2, 3, 4, 6)
}

// What was heard of while a question was under way is asked for after it.
func TestAskedInPages(t *testing.T) {
	d := begin(t, syncstate.Options{})
	d.pushed(3)
	d.asks("7 after 0")
	d.pushed(5)
	d.answered("2", true, 1)
	d.asks("7 after 1")
	d.answered("3", false, 2, 3)
	d.pushed(7)
	d.asks("7 after 5") // of which the answer to 3 was: 4 and 5 are none of messages
	d.answered("4", false, 6, 7)
	d.asks()
	d.shows(1, 2, 3, 6, 7)
}

// The late answer to a question that was asked twice says nothing of the next
// question.
func TestLateAnswer(t *testing.T) {
	d := begin(t, syncstate.Options{})
	d.pushed(2)
	d.answered("2", false, 1, 2)
	d.pushed(4)
	d.answered("2", false, 2)
	if rev, _ := d.Rev(7); rev != 2 || d.Whole() {
		t.Errorf("at %d", rev)
	}
	d.answered("3", false, 3, 4)
	d.shows(1, 2, 3, 4)
}

// What a device did not get on a connection that was lost it asks for on the
// next, though the list of what changed does not name it any more.
func TestLostWhileCatchingUp(t *testing.T) {
	d := begin(t, syncstate.Options{})
	d.pushed(1)
	d.asked = d.Connected(d.now, 1)
	d.asks("list a")
	d.listed("2", "b", conversation(7, 3))
	d.asks("7 after 1")
	d.asked = d.Connected(d.now, 1)
	d.asks("list b")
	d.answered("3", false, 2, 3) // of the connection before
	d.listed("4", "c")
	d.asks("7 after 1")
	d.answered("5", false, 2, 3)
	d.asks()
	d.shows(1, 2, 3)
}

func TestBeginsWithTheFirstListOrTheStart(t *testing.T) {
	for _, o := range []syncstate.Options{{}, {FromStart: true}} {
		d := begin(t, o)
		d.hear("resync", wire.Resync{T: "resync"})
		d.hear("resync", wire.Resync{T: "resync"})
		d.asks("list a")
		d.listed("2", "b", conversation(8, 3)) // joined later: from its beginning in any case
		d.asks("8 after 0", "list b")
		e := &device{t: t, now: d.now, Machine: syncstate.New(o)}
		e.Connected(e.now, 1)
		e.listed("1", "a", conversation(9, 2), conversation(7, 4))
		if o.FromStart {
			e.asks("7 after 0", "9 after 0")
		} else {
			e.asks()
		}
	}
}

func TestLeaving(t *testing.T) {
	d := begin(t, syncstate.Options{})
	d.pushed(1, 3)
	d.asks("7 after 1")
	d.hear("removed", wire.Removed{T: "removed", Conversation: 7})
	d.pushed(4)
	d.asks("list a")
	d.listed("3", "b", conversation(7, 5)) // back again
	d.asks("7 after 0")
	d.answered("2", false, 2, 3) // asked before, after 1
	if rev, _ := d.Rev(7); rev != 0 {
		t.Errorf("at %d", rev)
	}
	d.hear("resync", wire.Resync{T: "resync"})
	d.hear("synced", wire.Synced{T: "synced", ID: "5", Gone: []chat.ConversationID{7}, Cursor: "c"})
	if d.Has(7) || len(d.Conversations()) != 0 {
		t.Error("it has not gone")
	}
}

func TestRefusalsAndSilence(t *testing.T) {
	d := begin(t, syncstate.Options{})
	d.pushed(2)
	d.asks("7 after 0")
	d.hear("error", wire.ErrorFrame{T: "error", ID: "2", Code: "unavailable"})
	d.asks("7 after 0")
	if d.after <= 0 {
		t.Error("it does not wait")
	}
	// One of too many does not say which; that one waits already.
	d.hear("resync", wire.Resync{T: "resync"})
	d.asks("list a")
	d.hear("error", wire.ErrorFrame{T: "error", Code: "rate_limited"})
	d.asks("list a")
	d.hear("error", wire.ErrorFrame{T: "error", Code: "rate_limited"})
	d.hear("error", wire.ErrorFrame{T: "error", ID: "other", Code: "unavailable"})
	d.asks()
	d.wait(d.after + 5*time.Second)
	d.asks()
	d.wait(time.Millisecond)
	d.asks("list a", "7 after 0")
	d.listed("3", "b")
	d.answered("2", false, 1, 2)
	d.wait(time.Minute)
	d.asks()
	d.shows(1, 2)
}

func (d *device) pong(conversations int, sum int64) {
	d.hear("pong", wire.Pong{T: "pong", Conversations: conversations, Sum: sum, Checked: true})
}

func TestHeadCheck(t *testing.T) {
	d := begin(t, syncstate.Options{})
	d.pushed(1)
	d.hear("mark", wire.MarkFrame{T: "mark", Conversation: 7, User: 1, Read: 1})
	d.hear("mark", wire.MarkFrame{T: "mark", Conversation: 7, User: 2, Read: 5})
	d.pong(1, 2)
	d.wait(time.Minute)
	d.asks() // is whole
	d.hear("pong", wire.Pong{T: "pong"})
	d.wait(time.Minute)
	d.asks() // not checked
	d.pong(1, 3)
	d.wait(999 * time.Millisecond)
	d.pushed(2)
	d.wait(time.Minute)
	d.asks() // it was in flight
	d.pong(1, 4)
	d.wait(999 * time.Millisecond)
	d.asks()
	d.wait(time.Millisecond)
	d.asks("list a")
	d.wait(time.Second)
	d.asks()
	d.listed("2", "b", conversation(7, 3))
	d.asks("7 after 2")
	d.answered("3", false, 3)
	d.pong(2, 4)
	d.wait(time.Second)
	d.asks("list b") // another conversation
}

// A device that goes on receiving is behind all the same, unless it tolerates
// delay.
func TestHeadCheckToleratesDelay(t *testing.T) {
	for _, tolerate := range []bool{false, true} {
		d := begin(t, syncstate.Options{TolerateDelay: tolerate})
		d.pong(1, 5)
		d.pushed(1)
		d.wait(time.Second)
		if tolerate {
			d.asks()
		} else {
			d.asks("list a")
		}
		d.pong(1, 5)
		d.wait(time.Second)
		if tolerate {
			d.asks("list a")
		} else {
			d.asks() // it is under way
		}
	}
}
