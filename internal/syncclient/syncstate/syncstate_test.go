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
}

// begin is a device that has seen what there is: nothing, in conversation 7.
func begin(t *testing.T, o syncstate.Options) *device {
	t.Helper()
	d := &device{t: t, now: time.Unix(1_000_000, 0), Machine: syncstate.New(o)}
	d.asked = d.Connected(d.now, 1, "e")
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
	d.asked = append(d.asked, out.Send...)
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
	d.answeredUpTo(id, more, revs[len(revs)-1], revs...)
}

// answeredUpTo answers with messages, and the rev up to which that is everything.
func (d *device) answeredUpTo(id string, more bool, upTo int64, revs ...int64) {
	d.t.Helper()
	f := wire.Changes{T: "changes", ID: id, Conversation: 7, More: more, Rev: upTo}
	for _, rev := range revs {
		f.Messages = append(f.Messages, message(rev))
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

// What was heard of while a request was under way is requested after it.
func TestRequestedInPages(t *testing.T) {
	d := begin(t, syncstate.Options{})
	d.pushed(3)
	d.asks("7 after 0")
	d.pushed(5)
	d.answered("2", true, 1)
	d.asks("7 after 1")
	d.answeredUpTo("3", false, 5, 2, 3) // 4 and 5 are none of messages
	d.asks()
	d.pushed(7)
	d.asks("7 after 5")
	d.answered("4", false, 6, 7)
	d.asks()
	d.shows(1, 2, 3, 6, 7)
}

// An answer without what was heard of, as from a server that is behind, is no
// answer; and the next request waits a little.
func TestAnswerFromBehind(t *testing.T) {
	d := begin(t, syncstate.Options{})
	d.pushed(1, 3)
	d.asks("7 after 1")
	d.answeredUpTo("2", false, 1)
	d.asks()
	if d.Whole() {
		t.Error("it takes itself for whole")
	}
	d.wait(time.Second)
	d.asks("7 after 1")
	d.answered("3", false, 2, 3)
	d.shows(1, 2, 3)
}

// The late answer to a request that was sent twice says nothing of the next one.
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

// The cursor stays until what the list named was seen: a connection that is lost
// in between leaves no hole.
func TestCursorMovesPastWhatWasSeen(t *testing.T) {
	d := begin(t, syncstate.Options{})
	d.pushed(1)
	d.asked = d.Connected(d.now, 1, "e")
	d.asks("list a")
	d.listed("2", "b", conversation(7, 3))
	d.asks("7 after 1")
	if d.Cursor() != "a" {
		t.Errorf("the cursor is %q", d.Cursor())
	}
	d.asked = d.Connected(d.now, 1, "e")
	d.asks("list a")
	d.answered("3", false, 2, 3) // of the connection before
	d.listed("4", "c", conversation(7, 3))
	d.asks("7 after 1")
	d.answered("5", false, 2, 3)
	d.asks()
	d.shows(1, 2, 3)
	if d.Cursor() != "c" {
		t.Errorf("the cursor is %q", d.Cursor())
	}
}

// On a connection that is in sync, what a list has beyond what was seen may be on
// its way.
func TestPushesInFlight(t *testing.T) {
	d := begin(t, syncstate.Options{})
	d.hear("resync", wire.Resync{T: "resync"})
	d.asks("list a")
	d.listed("2", "b", conversation(7, 2))
	d.asks()
	d.wait(999 * time.Millisecond)
	d.pushed(1)
	d.asks()
	d.wait(time.Millisecond)
	d.asks("7 after 1")
	d.answered("3", false, 2)
	d.hear("resync", wire.Resync{T: "resync"})
	d.listed("4", "c", conversation(7, 4))
	d.asks("list b")
	d.pushed(3, 4)
	d.wait(time.Minute)
	d.asks()
	d.shows(1, 2, 3, 4)
}

// While pushes do not arrive, nothing is waited for.
func TestNothingIsInFlight(t *testing.T) {
	d := begin(t, syncstate.Options{})
	d.hear("resync", wire.Resync{T: "resync"})
	d.hear("resync", wire.Resync{T: "resync", Lost: true}) // asks once more
	d.asks("list a")
	d.listed("2", "b", conversation(7, 2))
	d.asks("list b", "7 after 0")
	d.answered("4", false, 1, 2)
	d.listed("3", "c", conversation(7, 3))
	d.asks("7 after 2")
	d.answered("5", false, 3)
	d.hear("resync", wire.Resync{T: "resync"}) // they arrive again
	d.asks("list c")
	d.listed("6", "d", conversation(7, 4))
	d.asks()
	d.pushed(4)
	d.wait(time.Minute)
	d.asks()
	d.shows(1, 2, 3, 4)
}

// A server that does not know the cursor any more is asked from the beginning:
// conversations that it does not name are left.
func TestUnknownCursor(t *testing.T) {
	d := begin(t, syncstate.Options{})
	d.hear("resync", wire.Resync{T: "resync"})
	d.listed("2", "b", conversation(8, 0))
	d.asks("list a")
	d.asked = d.Connected(d.now, 1, "e")
	d.asks("list b")
	d.hear("error", wire.ErrorFrame{T: "error", ID: "3", Code: "invalid"})
	d.wait(time.Second)
	d.asks("list ")
	d.hear("synced", wire.Synced{T: "synced", ID: "4", Conversations: []wire.Summary{conversation(8, 0)}, Cursor: "c", More: true})
	d.asks("list c")
	d.listed("5", "d", conversation(9, 0))
	if got := d.Conversations(); !slices.Equal(got, []chat.ConversationID{8, 9}) || d.Cursor() != "d" {
		t.Errorf("%v, at %q", got, d.Cursor())
	}
}

// In another epoch the device begins anew.
func TestAnotherEpoch(t *testing.T) {
	d := begin(t, syncstate.Options{})
	d.pushed(1, 2, 3)
	d.asked = d.Connected(d.now, 1, "e")
	d.asks("list a")
	d.asked = d.Connected(d.now, 1, "f")
	d.asks("list ")
	d.listed("3", "x", conversation(7, 1))
	d.pushed(2)
	d.asks()
	d.shows(1, 2, 3, 2)
}

func TestBeginsWithTheFirstListOrTheStart(t *testing.T) {
	for _, o := range []syncstate.Options{{}, {FromStart: true}} {
		d := begin(t, o)
		d.hear("resync", wire.Resync{T: "resync"})
		d.hear("resync", wire.Resync{T: "resync"})
		d.asks("list a")
		d.listed("2", "b", conversation(8, 3)) // joined later: from its beginning in any case
		d.asks("list b")
		d.wait(time.Second)
		d.asks("8 after 0")
		e := &device{t: t, now: d.now, Machine: syncstate.New(o)}
		e.Connected(e.now, 1, "e")
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
	d.wait(time.Second)
	d.asks("7 after 0")
	d.answered("2", false, 2, 3) // asked before, after 1
	if rev, _ := d.Rev(7); rev != 0 {
		t.Errorf("at %d", rev)
	}
	d.hear("resync", wire.Resync{T: "resync"})
	d.hear("synced", wire.Synced{T: "synced", ID: "5", Gone: []chat.ConversationID{7}, Cursor: "c"})
	d.listed("6", "c") // asked because something was missing of it
	if d.Has(7) || len(d.Conversations()) != 0 || !d.Whole() {
		t.Error("it has not gone")
	}
}

// A removal that comes after the user was added again, and the device knows it, is
// of the past.
func TestOvertakenRemoval(t *testing.T) {
	d := begin(t, syncstate.Options{})
	d.hear("resync", wire.Resync{T: "resync"})
	d.listed("2", "b", conversation(7, 2)) // removed with 1, added with 2
	d.hear("removed", wire.Removed{T: "removed", Conversation: 7, Rev: 1})
	if !d.Has(7) {
		t.Error("it has gone")
	}
	d.hear("removed", wire.Removed{T: "removed", Conversation: 7, Rev: 3})
	if d.Has(7) {
		t.Error("it has not gone")
	}
}

// A list that was made before the user came back, and arrives after that was heard
// of, does not have the last word.
func TestGoneAndBack(t *testing.T) {
	d := begin(t, syncstate.Options{})
	d.pushed(1)
	d.hear("resync", wire.Resync{T: "resync"})
	d.asks("list a")
	d.hear("conversation", wire.ConversationFrame{T: "conversation", Conversation: conversation(7, 3).Conversation, By: 1})
	d.asks("7 after 1")
	d.hear("synced", wire.Synced{T: "synced", ID: "2", Gone: []chat.ConversationID{7}, Cursor: "b"})
	d.asks("list b")
	d.listed("4", "c", conversation(7, 3))
	d.wait(time.Second)
	d.asks("7 after 0")
}

// Who is refused as no member looks whether that is so.
func TestRefusedAsNoMember(t *testing.T) {
	d := begin(t, syncstate.Options{})
	d.pushed(2)
	d.asks("7 after 0")
	d.hear("error", wire.ErrorFrame{T: "error", ID: "2", Code: "not_found"})
	d.asks("list a")
	d.hear("synced", wire.Synced{T: "synced", ID: "3", Gone: []chat.ConversationID{7}, Cursor: "b"})
	d.asks("list b") // because something was missing of it
	d.listed("4", "b")
	d.wait(time.Minute)
	d.asks()
}

func TestRefusalsAndSilence(t *testing.T) {
	d := begin(t, syncstate.Options{})
	d.pushed(2)
	d.asks("7 after 0")
	d.hear("error", wire.ErrorFrame{T: "error", ID: "2", Code: "unavailable", RetryAfterMS: 3000})
	d.hear("resync", wire.Resync{T: "resync"})
	d.asks("list a")
	d.hear("error", wire.ErrorFrame{T: "error", ID: "3", Code: "unavailable"})
	d.hear("error", wire.ErrorFrame{T: "error", ID: "other", Code: "unavailable"})
	if due := d.Due(); !due.Equal(d.now.Add(time.Second)) {
		t.Errorf("due at %v", due)
	}
	d.wait(999 * time.Millisecond)
	d.asks()
	d.wait(time.Millisecond)
	d.asks("list a")
	d.wait(2 * time.Second)
	d.asks("7 after 0")
	// Without an answer they are sent again, under the same name and ever later.
	d.wait(10*time.Second - 2*time.Second - time.Millisecond)
	d.asks("7 after 0")
	d.wait(time.Millisecond)
	d.asks("list a")
	d.listed("3", "b")
	d.answered("4", false, 1, 2)
	d.wait(time.Hour)
	d.asks()
	d.shows(1, 2)
	if due := d.Due(); !due.IsZero() {
		t.Errorf("due at %v", due)
	}
}

// No more than sixteen conversations are requested at a time.
func TestRequestsAreLimited(t *testing.T) {
	d := &device{t: t, now: time.Unix(1_000_000, 0), Machine: syncstate.New(syncstate.Options{FromStart: true})}
	d.asked = d.Connected(d.now, 1, "e")
	var all []wire.Summary
	for id := range chat.ConversationID(20) {
		all = append(all, conversation(id+1, 1))
	}
	d.listed("1", "a", all...)
	if d.asked = d.asked[1:]; len(d.asked) != 16 {
		t.Fatalf("%d requests", len(d.asked))
	}
	for i := range 20 { // each answer lets another one go
		f := d.asked[i]
		d.hear("changes", wire.Changes{T: "changes", ID: f.ID, Conversation: f.Conversation, Rev: 1})
		if want := min(20, 17+i); len(d.asked) != want {
			t.Fatalf("%d requests after %d answers", len(d.asked), i+1)
		}
	}
	if !d.Whole() || d.Cursor() != "a" {
		t.Errorf("whole: %t, at %q", d.Whole(), d.Cursor())
	}
}

// A request whose answer does not come, while what it asked for arrives by itself,
// is given up when it is due: else whoever calls Tick at Due would do nothing else.
func TestUnneededRequestIsGivenUp(t *testing.T) {
	d := begin(t, syncstate.Options{})
	d.asked = d.Connected(d.now, 1, "e")
	d.asks("list a")
	d.listed("2", "b", conversation(7, 2))
	d.asks("7 after 0")
	d.pushed(1, 2)
	if !d.Whole() || d.Cursor() != "b" {
		t.Fatalf("something is missing; the cursor is %q", d.Cursor())
	}
	due := d.Due()
	if due.IsZero() {
		t.Fatal("the request was given up before it was due")
	}
	d.wait(due.Sub(d.now))
	d.asks()
	if due := d.Due(); !due.IsZero() {
		t.Errorf("it is due %v from now", due.Sub(d.now))
	}
}
