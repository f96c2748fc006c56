package wire

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

const clientID = "01939d2e-7c00-7abc-8def-0123456789ab"

func mustClientID(t testing.TB) chat.ClientID {
	t.Helper()
	id, err := chat.ParseClientID(clientID)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// Each field of each frame of a client is decoded: one that is forgotten would be
// empty, and nothing would say so.
func TestEveryFieldIsDecoded(t *testing.T) {
	id := mustClientID(t)
	frames := []Inbound{
		&Send{T: "send", ID: id, Conversation: 7, Body: "hi", ReplyTo: 3},
		&Withdraw{T: "withdraw", ID: id},
		&Mark{T: "mark", Conversation: 7, Read: 9, Received: 10},
		&Typing{T: "typing", Conversation: 7},
		&Watch{T: "watch", Users: []chat.UserID{4}},
		&Status{T: "status", Away: true},
		&Sync{T: "sync", ID: "a", Cursor: "c", Conversation: 7, Rev: 5, Limit: 6},
		&Ping{T: "ping", Cursor: "c"},
	}
	known := 0
	for _, f := range FrameTypes {
		if f.FromClient {
			known++
		}
	}
	if len(frames) != known {
		t.Errorf("%d frames are tested, clients have %d", len(frames), known)
	}
	for _, want := range frames {
		fields := reflect.ValueOf(want).Elem()
		for i := range fields.NumField() {
			if fields.Field(i).IsZero() {
				t.Errorf("%T: %s is not tested", want, fields.Type().Field(i).Name)
			}
		}
		got, err := DecodeInbound(Encode(want))
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v", diff, err)
		}
	}
}

func TestDecodeInbound(t *testing.T) {
	id := mustClientID(t)
	tests := []struct {
		name, in string
		want     Inbound
	}{
		{"send", `{"t":"send","id":"` + clientID + `","conversation":"7","body":"hi","reply_to":3}`, &Send{T: "send", ID: id, Conversation: 7, Body: "hi", ReplyTo: 3}},
		{"withdraw", `{"t":"withdraw","id":"` + clientID + `"}`, &Withdraw{T: "withdraw", ID: id}},
		{"mark", `{"t":"mark","conversation":"7","read":9}`, &Mark{T: "mark", Conversation: 7, Read: 9}},
		{"typing", `{"t":"typing","conversation":"7"}`, &Typing{T: "typing", Conversation: 7}},
		{"watch", `{"t":"watch","users":["1","2"]}`, &Watch{T: "watch", Users: []chat.UserID{1, 2}}},
		{"status", `{"t":"status","away":true}`, &Status{T: "status", Away: true}},
		{"sync", `{"t":"sync","id":"a","cursor":"c","limit":5}`, &Sync{T: "sync", ID: "a", Cursor: "c", Limit: 5}},
		{"ping", `{"t":"ping"}`, &Ping{T: "ping"}},
		{"ping with cursor", `{"t":"ping","cursor":"x"}`, &Ping{T: "ping", Cursor: "x"}},
		{"unknown field", `{"t":"ping","colour":"red"}`, &Ping{T: "ping"}},
		{"unknown type", `{"t":"dance","id":7,"conversation":[]}`, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := DecodeInbound([]byte(tt.in))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDecodeInboundMalformed(t *testing.T) {
	tests := []struct{ name, in, id, text string }{
		{"not JSON", `hello`, "", "the frame is not JSON: invalid character 'h' looking for beginning of value at byte 1"},
		{"empty", ``, "", "the frame is not JSON: unexpected end of JSON input at byte 0"},
		{"array", `[1]`, "", "the frame is not a JSON object"},
		{"no type", `{"id":"x"}`, "x", "the frame has no type: t is missing"},
		{"number as type", `{"t":1}`, "", "t must not be a number"},
		{"body is a number", `{"t":"send","id":"x","body":1}`, "x", "body must not be a number"},
		{"bad client id", `{"t":"send","id":"x","conversation":"7"}`, "x", `send: id: "x" is not a UUID of version 7 in lower case`},
		{"withdrawal of nothing", `{"t":"withdraw"}`, "", `withdraw: id: "" is not a UUID of version 7 in lower case`},
		{"bad conversation", `{"t":"typing","conversation":"-7"}`, "", `"-7" is not the id of a conversation`},
		{"no conversation", `{"t":"typing"}`, "", "typing: conversation is missing"},
		{"negative mark", `{"t":"mark","conversation":"7","read":-1}`, "", "mark: read and received must not be negative"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := DecodeInbound([]byte(tt.in))
			m, ok := err.(*MalformedError)
			if !ok {
				t.Fatalf("got %v, want *Malformed", err)
			}
			if m.Text != tt.text || m.ID != tt.id {
				t.Errorf("got %q (id %q), want %q (id %q)", m.Text, m.ID, tt.text, tt.id)
			}
		})
	}
}

// The hand-written encoders must produce the same bytes as encoding/json.
func TestAppendAgreesWithJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := rapid.Int64Range(1, 1<<41)
		m := chat.Message{
			ID:           chat.MessageID(rapid.Int64Min(1).Draw(t, "id")),
			Conversation: chat.ConversationID(rapid.Int64Min(1).Draw(t, "conversation")),
			Seq:          rapid.Int64Min(1).Draw(t, "seq"),
			Rev:          rapid.Int64Min(1).Draw(t, "rev"),
			Sender:       chat.UserID(rapid.Int64Min(1).Draw(t, "sender")),
			Body:         rapid.OneOf(rapid.String(), rapid.Just("<&>\u2028\x00\x7f\"\\\n\xff")).Draw(t, "body"),
			ReplyTo:      rapid.Int64Range(0, 3).Draw(t, "reply"),
			At:           time.UnixMilli(at.Draw(t, "at")),
		}
		copy(m.ClientID[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "client id"))
		if rapid.Bool().Draw(t, "edited") {
			m.EditedAt = time.UnixMilli(at.Draw(t, "edited at"))
		}
		if rapid.Bool().Draw(t, "deleted") {
			m.DeletedAt = time.UnixMilli(at.Draw(t, "deleted at"))
		}
		want := string(Encode(MessageFrame{T: "message", Message: MessageOf(&m)}))
		if got := string(AppendMessage(nil, "message", &m)); got != want {
			t.Fatalf("got  %s\nwant %s", got, want)
		}
		want = string(Encode(Accepted{T: "accepted", ID: m.ClientID}))
		if got := string(AppendAccepted(nil, m.ClientID)); got != want {
			t.Fatalf("got  %s\nwant %s", got, want)
		}
		want = string(Encode(Withdrawn{T: "withdrawn", ID: m.ClientID}))
		if got := string(AppendWithdrawn(nil, m.ClientID)); got != want {
			t.Fatalf("got  %s\nwant %s", got, want)
		}
		var waitsFor chat.ClientID
		if rapid.Bool().Draw(t, "waits") {
			waitsFor = m.ClientID
		}
		rejected := Rejected{T: "rejected", ID: m.ClientID, Code: m.Body, Text: m.Body, RetryAfterMS: m.ReplyTo, WaitsFor: waitsFor}
		want = string(Encode(rejected))
		if got := string(AppendRejected(nil, &rejected)); got != want {
			t.Fatalf("got  %s\nwant %s", got, want)
		}
	})
}

func FuzzDecodeInbound(f *testing.F) {
	f.Add([]byte(`{"t":"send","id":"` + clientID + `","conversation":"7","body":"hi"}`))
	f.Add([]byte(`{"t":"withdraw","id":"` + clientID + `"}`))
	f.Add([]byte(`{"t":"watch","users":["1"]}`))
	f.Add([]byte(`{"t":"sync","id":"1","cursor":"x","limit":1e3}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, p []byte) {
		frame, err := DecodeInbound(p)
		if err != nil {
			if frame != nil {
				t.Fatal("a frame and an error")
			}
			return
		}
		if frame == nil {
			return
		}
		// What was understood once is understood the same when it is
		// written again.
		b, err := json.Marshal(frame)
		if err != nil {
			t.Fatal(err)
		}
		again, err := DecodeInbound(b)
		if err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		if diff := cmp.Diff(frame, again); diff != "" {
			t.Fatal(diff)
		}
	})
}

func BenchmarkEncodeMessage(b *testing.B) {
	m := chat.Message{ID: 1 << 60, Conversation: 1 << 60, Seq: 123456, Rev: 234567, Sender: 1 << 60, ClientID: mustClientID(b), Body: "The quick brown fox jumps over the lazy dog, again and again.", At: time.Now()}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendMessage(buf[:0], "message", &m)
	}
}
