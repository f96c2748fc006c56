package wsframe

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// event is what a parser emits.
type event struct {
	Op      Opcode
	Payload string
}

// fragment makes a frame a fragment that is not the last one of its message.
func fragment(frame []byte) []byte {
	frame[0] &^= finBit
	return frame
}

// Written frames are parsed back, on both sides, in pieces of any size, however
// messages are fragmented and whatever control frames come between.
func TestRoundTrip(t *testing.T) {
	payload := rapid.OneOf(rapid.StringN(0, 40, 120), rapid.SampledFrom([]string{
		strings.Repeat("x", 125), strings.Repeat("x", 126), strings.Repeat("飛", 21_845), strings.Repeat("x", 65_536),
	}))
	rapid.Check(t, func(t *rapid.T) {
		from, write := FromServer, AppendFrame
		if rapid.Bool().Draw(t, "masked") {
			from, write = FromClient, AppendMasked
		}
		var sent []byte
		var want, got []event
		control := func() {
			op := rapid.SampledFrom([]Opcode{Ping, Pong, Close}).Draw(t, "control")
			p := rapid.StringN(0, 30, maxControl).Draw(t, "payload of control")
			sent = write(sent, op, []byte(p))
			want = append(want, event{op, p})
		}
		for range rapid.IntRange(1, 5).Draw(t, "messages") {
			text := payload.Draw(t, "text")
			op := Text
			for rest := []byte(text); ; {
				cut := rapid.IntRange(0, len(rest)).Draw(t, "cut")
				if rapid.Bool().Draw(t, "last") {
					sent = write(sent, op, rest)
					break
				}
				sent = append(sent, fragment(write(nil, op, rest[:cut]))...)
				want = append(want, event{Op: Continuation})
				op, rest = Continuation, rest[cut:]
				if rapid.Bool().Draw(t, "interrupted") {
					control()
				}
			}
			want = append(want, event{Text, text})
			if rapid.Bool().Draw(t, "followed") {
				control()
			}
		}
		var r Parser
		pause := rapid.Bool().Draw(t, "pause")
		emit := func(op Opcode, p []byte) error {
			got = append(got, event{op, string(p)})
			if pause {
				return ErrPause
			}
			return nil
		}
		for len(sent) > 0 {
			n := rapid.IntRange(1, len(sent)).Draw(t, "piece")
			if err := r.Feed(sent[:n], from, 1<<17, emit); err != nil {
				t.Fatal(err)
			}
			sent = sent[n:]
		}
		for pause && r.rest != nil && len(r.rest.partial) > 0 {
			if err := r.Feed(nil, from, 1<<17, emit); err != nil {
				t.Fatal(err)
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatal(d)
		}
		if r.rest != nil {
			t.Fatal("an idle parser keeps something")
		}
	})
}

func TestClosePayload(t *testing.T) {
	for _, reason := range []string{"", "bye", strings.Repeat("x", 123), strings.Repeat("x", 124), strings.Repeat("飛", 42), strings.Repeat("é", 62), "x" + strings.Repeat("🕊", 31)} {
		p := ClosePayload(4100, reason)
		code, got, err := ParseClose(p)
		if err != nil || code != 4100 || !strings.HasPrefix(reason, got) || len(reason) <= maxReason && got != reason || len(p) > maxControl {
			t.Errorf("%q came as %d %q, %v", reason, code, got, err)
		}
		if len(reason) > maxReason && len(p) <= maxControl-utf8.UTFMax {
			t.Errorf("%d bytes of %q are left", len(got), reason)
		}
	}
	if code, reason, err := ParseClose(nil); code != CodeNoStatus || reason != "" || err != nil {
		t.Errorf("an empty payload is %d %q, %v", code, reason, err)
	}
}

func TestIncompleteRune(t *testing.T) {
	for text, want := range map[string]int{
		"": 0, "a": 0, "é": 0, "飛": 0, "🕊": 0, "a\xe9": 1, "a\xe9\xa3": 2, "\xf0\x9f\x95": 3, "a\xf0\x9f": 2,
		"\xff": 0, "\x80": 0, "\x80\x80\x80\x80": 0, "\xed\xa0": 0, "\xf4\x90": 0,
	} {
		if got := incompleteRune([]byte(text)); got != want {
			t.Errorf("%x: %d bytes, want %d", text, got, want)
		}
	}
}

// The time for a message of many fragments must be linear in its length.
func BenchmarkFragments(b *testing.B) {
	var sent []byte
	for i := range 1 << 15 {
		op := Continuation
		if i == 0 {
			op = Text
		}
		sent = append(sent, fragment(AppendFrame(nil, op, []byte("x")))...)
	}
	sent = AppendFrame(sent, Continuation, nil)
	b.SetBytes(int64(len(sent)))
	b.ReportAllocs()
	for b.Loop() {
		var r Parser
		if err := r.Feed(sent, FromServer, 1<<17, func(Opcode, []byte) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFeed(b *testing.B) {
	for name, from := range map[string]Peer{"client": FromClient, "server": FromServer} {
		b.Run(name, func(b *testing.B) {
			write := AppendFrame
			if from == FromClient {
				write = AppendMasked
			}
			sent := write(nil, Text, bytes.Repeat([]byte("x"), 300))
			sent = write(sent, Text, nil)
			var r Parser
			n := 0
			emit := func(Opcode, []byte) error { n++; return nil }
			piece := make([]byte, len(sent))
			b.SetBytes(int64(len(sent)))
			b.ReportAllocs()
			for b.Loop() {
				copy(piece, sent)
				if err := r.Feed(piece, from, 1<<17, emit); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// The parser's result does not depend on how the bytes are split, and its buffer
// is never larger than a message.
func FuzzParser(f *testing.F) {
	f.Add(append(fragment(AppendMasked(nil, Text, []byte("a"))), AppendMasked(nil, Continuation, []byte("b"))...), uint8(3), true)
	f.Add(append(fragment(AppendFrame(nil, Text, []byte("\xe9"))), AppendFrame(nil, Continuation, []byte("\xa3\x9b"))...), uint8(0), false)
	f.Add(AppendMasked(nil, Close, []byte("\x03\xe8")), uint8(1), true)
	f.Add(append(AppendFrame(nil, Ping, nil), AppendFrame(nil, Text, bytes.Repeat([]byte("x"), 300))...), uint8(6), false)
	f.Add([]byte{0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, uint8(2), true)
	f.Add([]byte{0x81, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, uint8(2), false)
	f.Fuzz(func(t *testing.T, data []byte, size uint8, masked bool) {
		const most = 1000
		run := func(step int) (events []string) {
			var r Parser
			emit := func(op Opcode, p []byte) error {
				if op == Text && (len(p) > most || !utf8.Valid(p)) || op == Continuation && len(p) > 0 || op != Text && op != Continuation && (!op.isControl() || len(p) > maxControl) {
					t.Fatalf("%d bytes of kind %d were emitted", len(p), op)
				}
				events = append(events, fmt.Sprintf("%d %x", op, p))
				return nil
			}
			for rest := bytes.Clone(data); len(rest) > 0; {
				n := min(step, len(rest))
				if err := r.Feed(rest[:n], Peer(masked), most, emit); err != nil {
					var protocol *Error
					if !errors.As(err, &protocol) || !validCloseCode(protocol.Code) {
						t.Fatalf("%v is not an error of the protocol", err)
					}
					return append(events, err.Error())
				}
				rest = rest[n:]
				if k := r.rest; k != nil && (len(k.partial) > most+14 || len(k.message) > most) {
					t.Fatalf("%d and %d bytes are kept", len(k.partial), len(k.message))
				}
			}
			return events
		}
		whole, cut := run(len(data)+1), run(int(size)+1)
		if fmt.Sprint(whole) != fmt.Sprint(cut) {
			t.Fatalf("whole: %v\ncut: %v", whole, cut)
		}
	})
}

func FuzzParseClose(f *testing.F) {
	f.Add(ClosePayload(1000, "bye"))
	f.Add([]byte{3})
	f.Add([]byte("\x03\xed"))
	f.Fuzz(func(t *testing.T, p []byte) {
		code, reason, err := ParseClose(p)
		if err == nil && len(p) > 0 && len(p) <= maxControl && !bytes.Equal(ClosePayload(code, reason), p) {
			t.Fatalf("%x is read as %d %q", p, code, reason)
		}
	})
}
