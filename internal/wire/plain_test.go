package wire

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// hotFrames are frames as clients write them, Go's, the page's and those of a
// library that escapes all but ASCII, or puts white space between.
var hotFrames = []string{
	`{"t":"send","id":"` + clientID + `","conversation":"7234567890123456","body":"hi"}`,
	`{"t":"send","id":"` + clientID + `","conversation":"7","body":"a \"b\" \\ \/\b\f\n\r\t\u003cb\u003E 飛脚 \ud83d\ude00 😀","reply_to":3}`,
	`{"t": "send", "id": "` + clientID + `", "conversation": "7", "body": "\u98db\u811a \ud83d\ude00\u0000", "reply_to": 0}`,
	`{"reply_to":999999999999999999,"body":"","conversation":"9223372036854775807","id":"` + clientID + `","t":"send"}`,
	"\t{\r\n\"t\" : \"mark\" , \"conversation\" : \"7\" , \"read\" : 10 , \"received\" : 12 } \n",
	`{"t":"mark","conversation":"7"}`,
	`{"t":"withdraw","id":"` + clientID + `"}`,
	`{"t":"typing","conversation":"7"}`,
	`{"t":"ping"}`,
	`{"t":"ping","cursor":"AbC-_=/+.~"}`,
	`{"t":"ping","id":"x","body":"\n","read":1}`,
}

// oddFrames are those that are left to encoding/json: what is not plain, what is
// not a hot frame, and what is wrong.
var oddFrames = []string{
	``, ` `, `{`, `{}`, `{ }`, `[]`, `null`, `"t"`, `{"t"`, `{"t":`, `{"t":"ping"`, `{"t":"ping",`, `{"t":"ping",}`, `{,"t":"ping"}`,
	`{"t":"ping"}}`, `{"t":"ping"}{"t":"ping"}`, `{"t":"ping"} x`, "{\"t\":\"ping\"}\x00", "{\"t\":\"ping\"\v}", "\ufeff" + `{"t":"ping"}`,
	`{"t":"ping" "cursor":"c"}`, `{"t" "ping"}`, `{"t":"ping":"c"}`, `{t:"ping"}`, `{'t':'ping'}`,
	`{"T":"ping"}`, `{"t":"Ping"}`, `{"t":"typing","t":"ping"}`, `{"t":"ping","T":"typing"}`, `{"\u0074":"ping"}`, `{"t":"pin\u0067"}`,
	`{"t":"ping","colour":"red"}`, `{"t":"ping","colour":{"a":[[{"b":null}]]}}`, `{"t":"dance"}`, `{"t":"dance","id":7}`, `{"t":null}`, `{"t":"ping","cursor":null}`,
	"{\"t\":\"ping\",\"cursor\":\"\xff\"}", `{"t":"ping","cursor":"é"}`, `{"t":"ping","cursor":7}`, `{"t":"ping","cursor":["c"]}`, "{\"t\":\"ping\",\"cursor\":\"a\nb\"}",
	`{"t":"ping","away":true}`, `{"t":"ping","users":[]}`, `{"t":"ping","limit":1.5}`, `{"t":"ping","conversation":""}`, `{"t":"ping","reply_to":"x"}`,
	`{"t":"mark"}`, `{"t":"typing"}`, `{"t":"typing","conversation":7}`, `{"t":"typing","conversation":"0"}`, `{"t":"typing","conversation":"07"}`,
	`{"t":"typing","conversation":"+7"}`, `{"t":"typing","conversation":"9223372036854775808"}`, `{"t":"typing","conversation":"\u0037"}`, `{"t":"typing","conversation":null}`,
	`{"t":"mark","conversation":"7","read":-1}`, `{"t":"mark","conversation":"7","read":-0}`, `{"t":"mark","conversation":"7","read":01}`, `{"t":"mark","conversation":"7","read":00}`,
	`{"t":"mark","conversation":"7","read":1.0}`, `{"t":"mark","conversation":"7","read":1e3}`, `{"t":"mark","conversation":"7","read":}`, `{"t":"mark","conversation":"7","read":"9"}`,
	`{"t":"mark","conversation":"7","read":1000000000000000000}`, `{"t":"mark","conversation":"7","read":9223372036854775808}`, `{"t":"mark","conversation":"7","read":18446744073709551617}`, `{"t":"mark","conversation":"7","read":true}`,
	`{"t":"send","conversation":"7","body":"b"}`, `{"t":"send","id":"x","conversation":"7","body":"b"}`, `{"t":"send","id":"` + clientID + `","body":"b"}`,
	`{"t":"send","id":"` + strings.ToUpper(clientID) + `","conversation":"7","body":"b"}`,
	send(`"\ud83d"`), send(`"\ude00\ud83d"`), send(`"\ud83d\u0061"`), send(`"\ud83d\n"`), send(`"\ud83dx"`), send(`"\ud83d\ud83d\ude00"`), send(`"\ud83d\uzzzz"`), send(`"\ud83d\"`),
	send(`"\u12"`), send(`"\u12`), send(`"\u`), send(`"\`), send(`"\"`), send(`"\u12g4"`), send(`"\u+123"`), send(`"\u1_23"`), send(`"\U0041"`), send(`"\'"`), send(`"\x41"`), send(`"\0"`),
	send("\"\xff\""), send("\"\xed\xa0\x80\""), send("\"\\n\xc3\""), send("\"a\nb\""), send("\"\\\n\""), send("\"\x00\""), send("\"\x1f\""),
	send(`null`), send(`1`), send(`{}`), send(`["b"]`), send(`"b" "c"`), send(`"b`),
	`{"t":"withdraw"}`, `{"t":"withdraw","id":"x"}`, `{"t":"withdraw","id":null}`, `{"t":"watch","users":["1"]}`, `{"t":"status","away":true}`, `{"t":"sync","id":"1","cursor":"x","limit":1e3}`,
	strings.Repeat(`{"t":`, 10001), `{"t":"ping","x":` + strings.Repeat("[", 10001),
}

// send returns a send frame with the JSON body.
func send(body string) string {
	return `{"t":"send","id":"` + clientID + `","conversation":"7","body":` + body + `}`
}

// checkAgrees checks that DecodeInbound and encoding/json make the same of p, and
// that the frame does not change with the buffer that it came in.
func checkAgrees(t rapid.TB, p []byte) {
	t.Helper()
	want, wantErr := decodeJSON(p)
	buffer := bytes.Clone(p)
	got, err := DecodeInbound(buffer)
	for i := range buffer {
		if buffer[i] != p[i] {
			t.Fatalf("%q was changed to %q", p, buffer)
		}
		buffer[i] ^= 0x55
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("%q: the frame differs (-encoding/json +decodePlain):\n%s", p, diff)
	}
	if diff := cmp.Diff(wantErr, err); diff != "" {
		t.Fatalf("%q: the error differs (-encoding/json +decodePlain):\n%s", p, diff)
	}
	id, conversation, ok := SendHead(p)
	send, _ := want.(*Send)
	if _, plain := decodePlain(p).(*Send); ok != plain {
		t.Fatalf("%q: SendHead reports %v", p, ok)
	}
	if ok && (id != send.ID || conversation != send.Conversation) {
		t.Fatalf("%q: SendHead returns %v and %v", p, id, conversation)
	}
}

// The frames that clients send most take the short way: that is what it is for.
func TestHotFramesArePlain(t *testing.T) {
	for _, p := range hotFrames {
		if decodePlain([]byte(p)) == nil {
			t.Errorf("left to encoding/json: %s", p)
		}
		checkAgrees(t, []byte(p))
	}
	for _, f := range []Inbound{
		&Send{T: "send", ID: mustClientID(t), Conversation: 7, Body: "<b> & \u2028\x7f\u00e9", ReplyTo: 3},
		&Withdraw{T: "withdraw", ID: mustClientID(t)},
		&Mark{T: "mark", Conversation: 7, Read: 9, Received: 10},
		&Typing{T: "typing", Conversation: 7},
		&Ping{T: "ping", Cursor: "c"},
	} {
		if diff := cmp.Diff(f, decodePlain(Encode(f))); diff != "" {
			t.Error(diff)
		}
	}
}

func TestOddFramesAreLeft(t *testing.T) {
	for _, p := range oddFrames {
		if f := decodePlain([]byte(p)); f != nil {
			t.Errorf("%q is decoded: %+v", p, f)
		}
		checkAgrees(t, []byte(p))
	}
}

// One for the frame and one for its text, however that is written.
func TestDecodeSendAllocations(t *testing.T) {
	for _, p := range hotFrames {
		if !strings.Contains(p, `"send"`) {
			continue
		}
		buffer := []byte(p)
		if n := testing.AllocsPerRun(100, func() { _, _ = DecodeInbound(buffer) }); n > 2 {
			t.Errorf("%v allocations for %s", n, p)
		}
	}
}

func TestSendHeadAllocatesNothing(t *testing.T) {
	for _, p := range hotFrames {
		buffer := []byte(p)
		if n := testing.AllocsPerRun(100, func() { SendHead(buffer) }); n > 0 {
			t.Errorf("%v allocations for %s", n, p)
		}
	}
}

// field is a field of a frame: its name and its value in JSON.
type field struct{ name, value string }

// Generators of JSON values.
var (
	genNumber = rapid.Map(rapid.Int64Range(0, 1e18-1), func(n int64) string { return fmt.Sprint(n) })
	genID     = rapid.Map(rapid.Int64Min(1), func(n int64) string { return fmt.Sprintf(`"%d"`, n) })
	genASCII  = rapid.Map(rapid.StringMatching(`[ !#-\[\]-~]*`), func(s string) string { return `"` + s + `"` })
	genText   = genString("a", "é", "飛", "😀", "\x7f", "\ufffd", "\u2028", `\"`, `\\`, `\/`, `\b`, `\f`, `\n`, `\r`, `\t`, `\u0041`, `\u98DB`, `\uFFFD`, `\u0000`, `\ud83d\ude00`)
	genOdd    = rapid.OneOf(
		genNumber, genID, genASCII, genText,
		genString("a", "é", `\n`, `\ud83d`, `\ude00`, `\u00`, `\x`, `\`, "\xff", "\xe9\xa3", "\n", "\x00", `"`),
		rapid.Map(rapid.Int64(), func(n int64) string { return fmt.Sprint(n) }),
		rapid.SampledFrom([]string{"", "null", "true", "[]", "{}", `["1"]`, `{"a":{"t":"ping"}}`, "00", "01", "-0", "1e2", "1.0", `"0"`, `"07"`, "1000000000000000000", "9223372036854775808"}),
	)
)

// genString returns a generator of strings in JSON that are made of parts.
func genString(parts ...string) *rapid.Generator[string] {
	return rapid.Map(rapid.SliceOf(rapid.SampledFrom(parts)), func(s []string) string { return `"` + strings.Join(s, "") + `"` })
}

// drawPlain draws the fields of a frame that decodePlain decodes, in any order.
func drawPlain(t *rapid.T) []field {
	name := rapid.SampledFrom([]string{"send", "withdraw", "mark", "typing", "ping"}).Draw(t, "t")
	all := []field{
		{"t", `"` + name + `"`},
		{"conversation", genID.Draw(t, "conversation")},
		{"id", `"` + clientID + `"`},
		{"body", genText.Draw(t, "body")},
		{"reply_to", genNumber.Draw(t, "reply_to")},
		{"read", genNumber.Draw(t, "read")},
		{"received", genNumber.Draw(t, "received")},
		{"cursor", genASCII.Draw(t, "cursor")},
	}
	if name == "withdraw" { // needs an id, and no conversation
		all[1], all[2] = all[2], all[1]
	}
	needed := map[string]int{"send": 3, "withdraw": 2, "mark": 2, "typing": 2, "ping": 1}[name]
	fields := all[:needed:needed]
	for _, f := range all[needed:] {
		if rapid.Bool().Draw(t, "has "+f.name) {
			fields = append(fields, f)
		}
	}
	return rapid.Permutation(fields).Draw(t, "order")
}

// drawJSON draws a way to write fields as an object.
func drawJSON(t *rapid.T, fields []field) []byte {
	space := rapid.SampledFrom([]string{"", "", "", " ", "\n", "\t \r\n"})
	var b strings.Builder
	put := func(s string) { b.WriteString(s + space.Draw(t, "space")) }
	put("")
	put("{")
	for i, f := range fields {
		if i > 0 {
			put(",")
		}
		put(`"` + f.name + `"`)
		put(":")
		put(f.value)
	}
	put("}")
	return []byte(b.String())
}

func TestPlainAgreesWithJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawJSON(t, drawPlain(t))
		if decodePlain(p) == nil {
			t.Fatalf("left to encoding/json: %s", p)
		}
		checkAgrees(t, p)
	})
}

// Frames with fields that are changed, doubled or new.
func TestChangedFramesAgreeWithJSON(t *testing.T) {
	names := rapid.SampledFrom([]string{"t", "id", "conversation", "body", "reply_to", "read", "received", "cursor", "users", "away", "rev", "limit", "x", "T", "Body", `bod\u0079`, "reply_tO"})
	rapid.Check(t, func(t *rapid.T) {
		fields := drawPlain(t)
		for range rapid.IntRange(1, 2).Draw(t, "changes") {
			i := rapid.IntRange(0, len(fields)-1).Draw(t, "field")
			switch rapid.IntRange(0, 3).Draw(t, "change") {
			case 0:
				fields[i].value = genOdd.Draw(t, "value")
			case 1:
				fields[i].name = names.Draw(t, "name")
			case 2:
				fields = append(fields, field{fields[i].name, rapid.OneOf(rapid.Just(fields[i].value), genOdd).Draw(t, "value")})
			case 3:
				fields = append(fields, field{names.Draw(t, "name"), genOdd.Draw(t, "value")})
			}
		}
		checkAgrees(t, drawJSON(t, fields))
	})
}

// Every hot frame, cut off at each byte, and with each byte removed, replaced, or
// another put before it.
func TestDamagedFramesAgreeWithJSON(t *testing.T) {
	others := []byte("\"\\{}[],:-+.019aeEntuU/' \t\n\r\v\x00\x1f\x7f\x80\xc3\xff")
	for _, frame := range hotFrames {
		for i := range len(frame) {
			before, after := frame[:i], frame[i+1:]
			checkAgrees(t, []byte(before))
			checkAgrees(t, []byte(before+after))
			for _, c := range others {
				checkAgrees(t, []byte(before+string([]byte{c})+after))
				checkAgrees(t, []byte(before+string([]byte{c})+frame[i:]))
			}
		}
	}
}

func FuzzPlainAgreesWithJSON(f *testing.F) {
	for _, p := range hotFrames {
		f.Add([]byte(p))
	}
	for _, p := range oddFrames {
		if len(p) < 1000 {
			f.Add([]byte(p))
		}
	}
	f.Fuzz(func(t *testing.T, p []byte) { checkAgrees(t, p) })
}

// Beside what each frame takes (plain) stands what encoding/json takes for it (json).
func BenchmarkDecode(b *testing.B) {
	text := strings.Repeat("The quick brown fox jumps. ", 5)[:120]
	markup := strings.Repeat("<b> says \"hi\"!\n", 8) // 120 bytes, 40 of them escaped
	b.Run("send/head", func(b *testing.B) {
		p := []byte(send(string(Encode(text))))
		b.ReportAllocs()
		for b.Loop() {
			if _, _, ok := SendHead(p); !ok {
				b.Fatal("it is not plain")
			}
		}
	})
	for _, frame := range []struct{ name, json string }{
		{"send", send(string(Encode(text)))},
		{"escapes", send(string(Encode(markup)))},
		{"mark", `{"t":"mark","conversation":"7234567890123456","read":123456}`},
		{"typing", `{"t":"typing","conversation":"7234567890123456"}`},
		{"withdraw", `{"t":"withdraw","id":"` + clientID + `"}`},
		{"ping", `{"t":"ping","cursor":"AAAAAAAAAAAAAAAAAAAAAAAA"}`},
		{"sync", `{"t":"sync","id":"1","conversation":"7234567890123456","rev":123456}`}, // left to encoding/json
	} {
		p := []byte(frame.json)
		for _, decoder := range []struct {
			name   string
			decode func([]byte) (Inbound, error)
		}{{"plain", DecodeInbound}, {"json", decodeJSON}} {
			b.Run(frame.name+"/"+decoder.name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := decoder.decode(p); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
