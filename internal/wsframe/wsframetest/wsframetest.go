// Package wsframetest is the conformance suite of the WebSocket protocol (RFC
// 6455) for the server and for the client.
//
// The cases are those of Autobahn|Testsuite, by its numbers, rewritten: the
// suite itself needs Python 2, which is no longer available. Sections 12 and 13
// (permessage-deflate) are left out, because no extension is negotiated; the tests
// of the handshake check that. The sizes and the numbers of messages in sections 9
// and 10 are smaller than in the suite.
//
// Where hikyaku.v1 requires something else than the suite, the case says "here:".
// There is one such difference: binary messages are refused with 1003, because
// hikyaku.v1 has none.
package wsframetest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/hikyaku-chat/hikyaku/internal/wsframe"
)

// Frame is a frame that the tested end is expected to answer with.
type Frame struct {
	Op      wsframe.Opcode
	Payload string
}

// Case is what a peer sends, and what is expected of the tested end.
type Case struct {
	ID     string   // Autobahn's number
	Want   string   // what is expected, in one line
	Writes [][]byte // what the peer sends, each in a write of its own
	// Answers are the received messages (which an echo server sends back), as
	// Text, and the pongs.
	Answers []Frame
	// Code is the code of the close frame after them.
	Code int
	// Fails means that the peer violates the protocol.
	Fails bool
}

// word is the suite's Greek one, whose second character has three bytes.
const word = "κ\u1f79σμε"

// suite collects the cases. It is used with the frames of clients and of servers.
type suite struct {
	append func(dst []byte, op wsframe.Opcode, payload []byte) []byte
	cases  []Case
}

// Cases returns the cases for what a peer sends.
func Cases(from wsframe.Peer) []Case {
	s := &suite{append: wsframe.AppendFrame}
	if from == wsframe.FromClient {
		s.append = wsframe.AppendMasked
	}
	s.framing()
	s.pings()
	s.reservedBits()
	s.opcodes()
	s.fragmentation()
	s.fragmentedUTF8()
	s.utf8()
	s.closing()
	s.limits()
	return s.cases
}

// frame returns the only frame of a message, part a fragment that is not the last one.
func (s *suite) frame(op wsframe.Opcode, payload string) []byte {
	return s.append(nil, op, []byte(payload))
}

func (s *suite) part(op wsframe.Opcode, payload string) []byte {
	f := s.frame(op, payload)
	f[0] &^= 0x80
	return f
}

func (s *suite) closeFrame(code int, reason string) []byte {
	return s.frame(wsframe.Close, string(wsframe.ClosePayload(code, reason)))
}

// reserved sets reserved bits.
func reserved(bits byte, frame []byte) []byte {
	frame[0] |= bits << 4
	return frame
}

// fragments is a text in pieces of a size.
func (s *suite) fragments(op wsframe.Opcode, text string, size int) (out [][]byte) {
	for ; len(text) > size; text, op = text[size:], wsframe.Continuation {
		out = append(out, s.part(op, text[:size]))
	}
	return append(out, s.frame(op, text))
}

// The ways to send frames.
func atOnce(frames ...[]byte) [][]byte    { return [][]byte{bytes.Join(frames, nil)} }
func frameWise(frames ...[]byte) [][]byte { return frames }
func octetWise(frames ...[]byte) [][]byte { return chopped(1, frames...) }
func chopped(size int, frames ...[]byte) [][]byte {
	return slices.Collect(slices.Chunk(bytes.Join(frames, nil), size))
}

func texts(all ...string) (out []Frame) {
	for _, text := range all {
		out = append(out, Frame{wsframe.Text, text})
	}
	return out
}

func pong(payload string) Frame { return Frame{wsframe.Pong, payload} }

// good adds a case without an error; the peer ends it with a close frame.
func (s *suite) good(id, want string, writes [][]byte, answers ...Frame) {
	s.cases = append(s.cases, Case{
		ID: id, Want: want, Answers: answers, Code: wsframe.CodeNormal,
		Writes: append(slices.Clip(writes), s.closeFrame(wsframe.CodeNormal, "")),
	})
}

// bad adds a case that the tested end must fail with a close code.
func (s *suite) bad(id, want string, code int, writes [][]byte, answers ...Frame) {
	s.cases = append(s.cases, Case{ID: id, Want: want, Writes: writes, Answers: answers, Code: code, Fails: true})
}

// closes adds a case in which the peer itself closes.
func (s *suite) closes(id, want string, code int, writes [][]byte, answers ...Frame) {
	s.cases = append(s.cases, Case{ID: id, Want: want, Writes: writes, Answers: answers, Code: code})
}

func (s *suite) framing() {
	for i, n := range []int{0, 125, 126, 127, 128, 65_535, 65_536} {
		text := strings.Repeat("*", n)
		s.good(fmt.Sprintf("1.1.%d", i+1), fmt.Sprintf("a text message of %d bytes is taken", n),
			atOnce(s.frame(wsframe.Text, text)), texts(text)...)
		s.bad(fmt.Sprintf("1.2.%d", i+1), fmt.Sprintf("here: a binary message of %d bytes is refused", n),
			wsframe.CodeUnsupportedData, atOnce(s.frame(wsframe.Binary, text)))
	}
	text := strings.Repeat("*", 65_536)
	s.good("1.1.8", "the same in pieces of 997 bytes", chopped(997, s.frame(wsframe.Text, text)), texts(text)...)
	s.bad("1.2.8", "here: a binary message in pieces of 997 bytes is refused",
		wsframe.CodeUnsupportedData, chopped(997, s.frame(wsframe.Binary, text)))
}

func (s *suite) pings() {
	ping := func(p string) []byte { return s.frame(wsframe.Ping, p) }
	long := strings.Repeat("\xfe", 125)
	s.good("2.1", "a ping without a payload has a pong", atOnce(ping("")), pong(""))
	s.good("2.2", "a pong has the ping's payload", atOnce(ping("Hello, world!")), pong("Hello, world!"))
	s.good("2.3", "the payload need not be UTF-8", atOnce(ping("\x00\xff\xfe\xfd\xfc\xfb\x00\xff")), pong("\x00\xff\xfe\xfd\xfc\xfb\x00\xff"))
	s.good("2.4", "a payload may have 125 bytes", atOnce(ping(long)), pong(long))
	s.bad("2.5", "a ping of 126 bytes fails the connection", wsframe.CodeProtocolError, atOnce(ping(long+"x")))
	s.good("2.6", "a ping of 125 bytes, byte by byte", octetWise(ping(long)), pong(long))
	s.good("2.7", "a pong that nobody asked for is passed over", atOnce(s.frame(wsframe.Pong, "")))
	s.good("2.8", "also with a payload", atOnce(s.frame(wsframe.Pong, "unasked")))
	s.good("2.9", "a ping behind it is answered", atOnce(s.frame(wsframe.Pong, "unasked"), ping("ping")), pong("ping"))
	var pings [][]byte
	var pongs []Frame
	for i := range 10 {
		pings, pongs = append(pings, ping(fmt.Sprint(i))), append(pongs, pong(fmt.Sprint(i)))
	}
	s.good("2.10", "ten pings have ten pongs", atOnce(pings...), pongs...)
	s.good("2.11", "ten pings, byte by byte", octetWise(pings...), pongs...)
}

func (s *suite) reservedBits() {
	text, ping := s.frame(wsframe.Text, "Hello, world!"), s.frame(wsframe.Ping, "")
	const code = wsframe.CodeProtocolError
	with := func(bits byte) []byte { return reserved(bits, s.frame(wsframe.Text, "reserved")) }
	s.bad("3.1", "RSV 1 on a text fails the connection", code, atOnce(with(1)))
	s.bad("3.2", "RSV 2: the text before is taken, the ping behind not", code, atOnce(text, with(2), ping), texts("Hello, world!")...)
	s.bad("3.3", "RSV 3, frame by frame", code, frameWise(text, with(3), ping), texts("Hello, world!")...)
	s.bad("3.4", "RSV 4, byte by byte", code, octetWise(text, with(4), ping), texts("Hello, world!")...)
	s.bad("3.5", "RSV 5 on a binary message", code, atOnce(reserved(5, s.frame(wsframe.Binary, "x"))))
	s.bad("3.6", "RSV 6 on a ping", code, atOnce(reserved(6, s.frame(wsframe.Ping, "x"))))
	s.bad("3.7", "RSV 7 on a close frame", code, atOnce(reserved(7, s.closeFrame(1000, ""))))
}

func (s *suite) opcodes() {
	text, ping := s.frame(wsframe.Text, "Hello, world!"), s.frame(wsframe.Ping, "")
	for i, first := range []wsframe.Opcode{3, 11} {
		unknown := func(n wsframe.Opcode, p string) []byte { return s.frame(first+n, p) }
		add := func(n int, want string, writes [][]byte, answers ...Frame) {
			want = fmt.Sprintf("opcode %d %s", int(first)+n-1, want)
			s.bad(fmt.Sprintf("4.%d.%d", i+1, n), want, wsframe.CodeProtocolError, writes, answers...)
		}
		add(1, "fails the connection", atOnce(unknown(0, "")))
		add(2, "with a payload", atOnce(unknown(1, "payload")))
		add(3, "behind a text", atOnce(text, unknown(2, ""), ping), texts("Hello, world!")...)
		add(4, "with a payload, frame by frame", frameWise(text, unknown(3, "payload"), ping), texts("Hello, world!")...)
		add(5, "with a payload, byte by byte", octetWise(text, unknown(4, "payload"), ping), texts("Hello, world!")...)
	}
}

func (s *suite) fragmentation() {
	const code = wsframe.CodeProtocolError
	cont := wsframe.Continuation
	s.bad("5.1", "a ping must not be fragmented", code, atOnce(s.part(wsframe.Ping, "a"), s.frame(cont, "b")))
	s.bad("5.2", "nor a pong", code, atOnce(s.part(wsframe.Pong, "a"), s.frame(cont, "b")))

	type way struct {
		name string
		send func(...[]byte) [][]byte
	}
	ways := []way{{"at once", atOnce}, {"frame by frame", frameWise}, {"byte by byte", octetWise}}
	two := [][]byte{s.part(wsframe.Text, "fragment1"), s.frame(cont, "fragment2")}
	ping := s.frame(wsframe.Ping, "ping")
	for i, w := range ways {
		id := func(first int) string { return fmt.Sprintf("5.%d", first+i) }
		s.good(id(3), "a text in two fragments, "+w.name, w.send(two...), texts("fragment1fragment2")...)
		s.good(id(6), "a ping between two fragments is answered first, "+w.name,
			w.send(two[0], ping, two[1]), pong("ping"), Frame{wsframe.Text, "fragment1fragment2"})
		s.bad(id(9), "there is nothing to continue, FIN set, "+w.name, code, w.send(s.frame(cont, "x"), s.frame(wsframe.Text, "y")))
		s.bad(id(12), "there is nothing to continue, FIN not set, "+w.name, code, w.send(s.part(cont, "x"), s.frame(wsframe.Text, "y")))
	}
	s.bad("5.15", "a text in two fragments is taken, a continuation behind it not", code,
		atOnce(two[0], two[1], s.part(cont, "x"), s.frame(wsframe.Text, "y")), texts("fragment1fragment2")...)
	for i, first := range [][]byte{s.part(cont, "x"), s.frame(cont, "x")} {
		again := [][]byte{first, two[0], two[1], first, two[0], two[1]}
		s.bad(fmt.Sprintf("5.%d", 16+i), "a continuation before a message fails the connection", code, frameWise(again...))
	}
	s.bad("5.18", "the second fragment must not be a text again", code, atOnce(two[0], s.frame(wsframe.Text, "fragment2")))
	five := [][]byte{
		s.part(wsframe.Text, "1"), s.part(cont, "2"), s.frame(wsframe.Ping, "a"),
		s.part(cont, "3"), s.part(cont, "4"), s.frame(wsframe.Ping, "b"), s.frame(cont, "5"),
	}
	for i, w := range ways[:2] {
		s.good(fmt.Sprintf("5.%d", 19+i), "a text in five fragments, with two pings between them, "+w.name,
			w.send(five...), pong("a"), pong("b"), Frame{wsframe.Text, "12345"})
	}
}

func (s *suite) fragmentedUTF8() {
	const code = wsframe.CodeInvalidPayload
	cont := wsframe.Continuation
	s.good("6.1.1", "an empty text", atOnce(s.frame(wsframe.Text, "")), texts("")...)
	s.good("6.1.2", "an empty text in three fragments",
		atOnce(s.part(wsframe.Text, ""), s.part(cont, ""), s.frame(cont, "")), texts("")...)
	s.good("6.1.3", "a text whose first and last fragments are empty",
		atOnce(s.part(wsframe.Text, ""), s.part(cont, "middle"), s.frame(cont, "")), texts("middle")...)

	const valid = "Hello-µ@ßöäüàá-UTF-8!!"
	s.good("6.2.1", "UTF-8 in one frame", atOnce(s.frame(wsframe.Text, valid)), texts(valid)...)
	s.good("6.2.2", "cut between characters", atOnce(s.part(wsframe.Text, valid[:12]), s.frame(cont, valid[12:])), texts(valid)...)
	s.good("6.2.3", "in fragments of one byte", atOnce(s.fragments(wsframe.Text, valid, 1)...), texts(valid)...)
	s.good("6.2.4", "in fragments of one byte", atOnce(s.fragments(wsframe.Text, word, 1)...), texts(word)...)

	const invalid = word + "\xed\xa0\x80edited"
	s.bad("6.3.1", "a surrogate in one frame", code, atOnce(s.frame(wsframe.Text, invalid)))
	s.bad("6.3.2", "a surrogate, in fragments of one byte", code, atOnce(s.fragments(wsframe.Text, invalid, 1)...))
	// The last fragment never comes: the connection must fail before it.
	s.bad("6.4.1", "it fails with the fragment that is not UTF-8, before the last", code,
		frameWise(s.part(wsframe.Text, word), s.part(cont, "\xf4\x90\x80\x80")))
	s.bad("6.4.2", "also when the character is cut by the fragments", code,
		frameWise(s.part(wsframe.Text, word+"\xf4"), s.part(cont, "\x90")))
	whole := s.frame(wsframe.Text, word+"\xf4\x90\x80\x80edited")
	s.bad("6.4.3", "here: a frame is looked at when it is whole, which the suite calls non-strict", code, chopped(len(whole)-8, whole))
	s.bad("6.4.4", "here: the same, byte by byte", code, octetWise(whole))
}

// utf8 has the cases after Markus Kuhn's stress test of decoders, a text in
// one frame each.
func (s *suite) utf8() {
	run := func(section, what string, valid bool, all ...string) {
		for i, text := range all {
			id, frame := fmt.Sprintf("%s.%d", section, i+1), s.frame(wsframe.Text, text)
			if valid {
				s.good(id, fmt.Sprintf("%s: %x is taken", what, text), atOnce(frame), texts(text)...)
			} else {
				s.bad(id, fmt.Sprintf("%s: %x is refused", what, text), wsframe.CodeInvalidPayload, atOnce(frame))
			}
		}
	}
	run("6.5", "characters of each length", true, "hello$world", "hello¢world", "hello€world", "hello𤭢world", word)
	for n := 1; n <= len(word); n++ {
		id, frame := fmt.Sprintf("6.6.%d", n), s.frame(wsframe.Text, word[:n])
		if slices.Contains([]int{2, 5, 7, 9, 11}, n) {
			s.good(id, "a prefix that ends behind a character", atOnce(frame), texts(word[:n])...)
		} else {
			s.bad(id, "a prefix that ends inside a character", wsframe.CodeInvalidPayload, atOnce(frame))
		}
	}
	run("6.7", "first of a length", true, "\x00", "\xc2\x80", "\xe0\xa0\x80", "\xf0\x90\x80\x80")
	run("6.8", "first of five and six bytes", false, "\xf8\x88\x80\x80\x80", "\xfc\x84\x80\x80\x80\x80")
	run("6.9", "last of a length", true, "\x7f", "\xdf\xbf", "\xef\xbf\xbf", "\xf4\x8f\xbf\xbf")
	run("6.10", "beyond the last", false, "\xf7\xbf\xbf\xbf", "\xfb\xbf\xbf\xbf\xbf", "\xfd\xbf\xbf\xbf\xbf\xbf")
	run("6.11", "at a boundary", true, "\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbd", "\xf4\x8f\xbf\xbf")
	s.bad("6.11.5", "beyond U+10FFFF", wsframe.CodeInvalidPayload, atOnce(s.frame(wsframe.Text, "\xf4\x90\x80\x80")))

	between := func(first, last byte, separator string) string {
		var b strings.Builder
		for c := first; c <= last; c++ {
			b.WriteByte(c)
			b.WriteString(separator)
		}
		return b.String()
	}
	run("6.12", "continuation bytes alone", false, "\x80", "\xbf", "\x80\xbf", "\x80\xbf\x80", "\x80\xbf\x80\xbf",
		"\x80\xbf\x80\xbf\x80", "\x80\xbf\x80\xbf\x80\xbf", between(0x80, 0xbe, ""))
	run("6.13", "first bytes alone", false, between(0xc0, 0xdf, " "), between(0xe0, 0xef, " "), between(0xf0, 0xf7, " "),
		between(0xf8, 0xfb, " "), between(0xfc, 0xfd, " "))
	cut := []string{
		"\xc0", "\xe0\x80", "\xf0\x80\x80", "\xf8\x80\x80\x80", "\xfc\x80\x80\x80\x80",
		"\xdf", "\xef\xbf", "\xf7\xbf\xbf", "\xfb\xbf\xbf\xbf", "\xfd\xbf\xbf\xbf\xbf",
	}
	run("6.14", "the last byte is missing", false, cut...)
	run("6.15", "all of these", false, strings.Join(cut, ""))
	run("6.16", "bytes that UTF-8 has not", false, "\xfe", "\xff", "\xfe\xfe\xff\xff")
	run("6.17", "overlong /", false, "\xc0\xaf", "\xe0\x80\xaf", "\xf0\x80\x80\xaf", "\xf8\x80\x80\x80\xaf", "\xfc\x80\x80\x80\x80\xaf")
	run("6.18", "the largest overlong", false, "\xc1\xbf", "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf", "\xf8\x87\xbf\xbf\xbf", "\xfc\x83\xbf\xbf\xbf\xbf")
	run("6.19", "overlong NUL", false, "\xc0\x80", "\xe0\x80\x80", "\xf0\x80\x80\x80", "\xf8\x80\x80\x80\x80", "\xfc\x80\x80\x80\x80\x80")
	high := []string{"\xed\xa0\x80", "\xed\xad\xbf", "\xed\xae\x80", "\xed\xaf\xbf"}
	run("6.20", "a surrogate", false, append(slices.Clip(high), "\xed\xb0\x80", "\xed\xbe\x80", "\xed\xbf\xbf")...)
	var pairs, nonCharacters []string
	for _, h := range high {
		pairs = append(pairs, h+"\xed\xb0\x80", h+"\xed\xbf\xbf")
	}
	run("6.21", "a pair of surrogates", false, pairs...)
	for plane := range rune(17) {
		nonCharacters = append(nonCharacters, string(plane<<16|0xfffe), string(plane<<16|0xffff))
	}
	run("6.22", "not a character, yet valid", true, nonCharacters...)
	run("6.23", "specials", true, "\ufff9", "\ufffa", "\ufffb", "\ufffc", "\ufffd", "\ufffe", "\uffff")
}

func (s *suite) closing() {
	text, ping := s.frame(wsframe.Text, "Hello, world!"), s.frame(wsframe.Ping, "")
	bye := s.closeFrame(wsframe.CodeNormal, "")
	const normal, protocol = wsframe.CodeNormal, wsframe.CodeProtocolError
	s.closes("7.1.1", "what came before a close frame is taken", normal, atOnce(text, bye), texts("Hello, world!")...)
	s.closes("7.1.2", "a second close frame has no answer", normal, atOnce(bye, bye))
	s.closes("7.1.3", "nor has a ping behind a close frame", normal, atOnce(bye, ping))
	s.closes("7.1.4", "nor a text", normal, atOnce(bye, text))
	s.closes("7.1.5", "a message that a close frame cuts off is not taken", normal,
		atOnce(s.part(wsframe.Text, "a"), bye, s.frame(wsframe.Continuation, "b")))
	large := strings.Repeat("BAsd7&jh23", 26_214)
	s.closes("7.1.6", "a text of 256 KiB, a close frame and a ping", normal, atOnce(s.frame(wsframe.Text, large), bye, ping), texts(large)...)

	s.closes("7.3.1", "a close frame without a code", normal, atOnce(s.frame(wsframe.Close, "")))
	s.bad("7.3.2", "a close frame with half a code", protocol, atOnce(s.frame(wsframe.Close, "a")))
	s.closes("7.3.3", "a close frame with a code alone", normal, atOnce(bye))
	s.closes("7.3.4", "a close frame with a reason", normal, atOnce(s.closeFrame(normal, "Hello World!")))
	s.closes("7.3.5", "a close frame with a reason of 123 bytes", normal, atOnce(s.closeFrame(normal, strings.Repeat("*", 123))))
	s.bad("7.3.6", "a close frame with a reason of 124 bytes", protocol, atOnce(s.frame(wsframe.Close, "\x03\xe8"+strings.Repeat("*", 124))))
	s.bad("7.5.1", "a reason that is not UTF-8", wsframe.CodeInvalidPayload, atOnce(s.closeFrame(normal, "\xce\xba\xe1\xbd\xb9\xed\xa0\x80")))
	for i, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999} {
		s.closes(fmt.Sprintf("7.7.%d", i+1), fmt.Sprintf("code %d is answered with itself", code), code, atOnce(s.closeFrame(code, "")))
	}
	for i, code := range []int{0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999} {
		s.bad(fmt.Sprintf("7.9.%d", i+1), fmt.Sprintf("code %d must not be sent", code), protocol, atOnce(s.closeFrame(code, "")))
	}
	for i, code := range []int{5000, 65_535} {
		s.bad(fmt.Sprintf("7.13.%d", i+1), fmt.Sprintf("here: code %d, which nothing defines, is refused", code), protocol, atOnce(s.closeFrame(code, "")))
	}
}

func (s *suite) limits() {
	// pick makes a text of a size that is not the same everywhere.
	pick := func(size int) string { return strings.Repeat("0123456789abcde\n", size/16+1)[:size] }
	binary := func(id, want string, writes [][]byte) {
		s.bad(id, "here: "+want+", is refused", wsframe.CodeUnsupportedData, writes)
	}
	for i := range 6 {
		size := 16 << 10 << i // the suite: 64 KiB to 16 MiB
		text := pick(size)
		s.good(fmt.Sprintf("9.1.%d", i+1), fmt.Sprintf("a text of %d KiB", size>>10), atOnce(s.frame(wsframe.Text, text)), texts(text)...)
		binary(fmt.Sprintf("9.2.%d", i+1), "a binary message", atOnce(s.frame(wsframe.Binary, text)))
	}
	text := pick(256 << 10) // the suite: 4 MiB
	for i := range 9 {
		size := 64 << (2 * i)
		s.good(fmt.Sprintf("9.3.%d", i+1), fmt.Sprintf("a text in fragments of %d bytes", size),
			atOnce(s.fragments(wsframe.Text, text, size)...), texts(text)...)
		binary(fmt.Sprintf("9.4.%d", i+1), "a binary message in fragments", atOnce(s.fragments(wsframe.Binary, text, size)...))
	}
	text = pick(64 << 10) // the suite: 1 MiB
	for i := range 6 {
		size := 64 << i
		s.good(fmt.Sprintf("9.5.%d", i+1), fmt.Sprintf("a text in writes of %d bytes", size),
			chopped(size, s.frame(wsframe.Text, text)), texts(text)...)
		binary(fmt.Sprintf("9.6.%d", i+1), "a binary message in writes", chopped(size, s.frame(wsframe.Binary, text)))
	}
	for i, size := range []int{0, 16, 64, 256, 1024, 4096} {
		const messages = 100 // the suite: 1,000
		text := pick(size)
		all := slices.Repeat([]string{text}, messages)
		var frames [][]byte
		for range messages {
			frames = append(frames, s.frame(wsframe.Text, text))
		}
		s.good(fmt.Sprintf("9.7.%d", i+1), fmt.Sprintf("%d texts of %d bytes", messages, size), frameWise(frames...), texts(all...)...)
		binary(fmt.Sprintf("9.8.%d", i+1), "the first of many binary messages", atOnce(s.frame(wsframe.Binary, text)))
	}
	long := pick(65_536)
	s.good("10.1.1", "a text of 64 KiB in fragments of 1,300 bytes", atOnce(s.fragments(wsframe.Text, long, 1300)...), texts(long)...)
}
