package syncclient_test

import (
	"encoding/json"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/syncclient/syncstate"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// device is the state machine, and what it has been given to show.
type device struct {
	syncstate.Machine
	now      time.Time
	asked    []wire.Sync                             // and not answered
	messages map[chat.ConversationID]map[int64]int64 // rev by seq
	repeated []wire.Message                          // not after the ones before
}

func newDevice() *device {
	return &device{
		Machine: syncstate.New(syncstate.Options{FromStart: true}), now: time.Unix(1_767_225_600, 0),
		messages: map[chat.ConversationID]map[int64]int64{},
	}
}

func (d *device) receive(raw []byte) {
	var head struct{ T string }
	_ = json.Unmarshal(raw, &head)
	out := d.Handle(d.now, head.T, raw)
	d.asked = append(d.asked, out.Send...)
	for i := range out.Messages {
		m := &out.Messages[i]
		if d.messages[m.Conversation] == nil {
			d.messages[m.Conversation] = map[int64]int64{}
		}
		for _, rev := range d.messages[m.Conversation] {
			if rev >= m.Rev {
				d.repeated = append(d.repeated, *m)
			}
		}
		d.messages[m.Conversation][m.Seq] = m.Rev
	}
}

func (d *device) wait(ms int) {
	d.now = d.now.Add(time.Duration(ms) * time.Millisecond)
	d.asked = append(d.asked, d.Tick(d.now)...)
}

// requireState checks the device's conversations.
func (d *device) requireState(t *testing.T, end map[chat.ConversationID]state) {
	t.Helper()
	if ids := slices.Sorted(maps.Keys(end)); !slices.Equal(d.Conversations(), ids) {
		t.Errorf("it is in %v, not %v", d.Conversations(), ids)
	}
	if len(d.repeated) > 0 {
		t.Errorf("it gave out of order: %+v", d.repeated)
	}
	for id, want := range end {
		rev, read := d.Rev(id)
		var messages [][2]int64
		for _, seq := range slices.Sorted(maps.Keys(d.messages[id])) {
			messages = append(messages, [2]int64{seq, d.messages[id][seq]})
		}
		if rev != want.Rev || read != want.Read || !slices.Equal(messages, want.Messages) {
			t.Errorf("conversation %v is at rev %d, read %d, with messages %v; not at %d, %d, with %v",
				id, rev, read, messages, want.Rev, want.Read, want.Messages)
		}
	}
}

// The state machine asks what it asked when the traces were recorded, and ends
// with what the server has.
func TestReplay(t *testing.T) {
	files, err := filepath.Glob(tracePath("*"))
	if err != nil || len(files) < len(scenarios) {
		t.Fatalf("%d traces, %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(name, func(t *testing.T) { replay(t, readTrace(t, name)) })
	}
}

func replay(t *testing.T, tr *trace) {
	d := newDevice()
	for i := range tr.Steps {
		s := &tr.Steps[i]
		if !by(byGo, s.By) {
			continue
		}
		switch {
		case s.Connect != nil:
			d.asked = d.Connected(d.now, tr.Me, "")
		case s.Ping != nil:
			if d.Cursor() != s.Ping.Cursor {
				t.Fatalf("step %d: it pings with %q, not %q", i, d.Cursor(), s.Ping.Cursor)
			}
		case s.Push != nil:
			d.receive(s.Push)
		case s.Ask != nil:
			if len(d.asked) == 0 {
				t.Fatalf("step %d: it asks nothing, not %+v", i, *s.Ask)
			}
			next := d.asked[0]
			if d.asked = d.asked[1:]; questionOf(next) != *s.Ask {
				t.Fatalf("step %d: it asks %+v, not %+v", i, next, *s.Ask)
			}
			if s.Answer != nil {
				d.receive([]byte(strings.Replace(string(s.Answer), anyID, `"id":"`+next.ID+`"`, 1)))
			}
		case s.Wait > 0, s.Cut:
			if len(d.asked) > 0 {
				t.Fatalf("step %d: it asks %+v as well", i, d.asked)
			}
			d.wait(s.Wait)
		case s.Lose == nil:
			t.Fatalf("step %d is nothing that this client knows: %+v", i, *s)
		}
	}
	if len(d.asked) > 0 {
		t.Errorf("at the end it asks %+v as well", d.asked)
	}
	d.requireState(t, tr.End)
}
