package wire

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

// decodePlain decodes the frames that clients send most (send, mark, typing, ping), and
// withdraw, of which there are as many under overload,
// without reflection, as long as they are valid and written plainly: one object of
// the fields below, each at most once, in any order and with any white space; text
// other than body is ASCII without escapes, and numbers are digits. For everything
// else it returns nil, which does not say that the frame is wrong: decodeJSON
// decides that. So one place alone says what is taken and what an error is called,
// and what is decoded here comes out as it would there. The frame shares no memory
// with p.
func decodePlain(p []byte) Inbound {
	var f plainFields
	if !f.scan(p) {
		return nil
	}
	switch string(f.t) {
	case "send":
		if id, ok := f.sendID(); ok {
			return &Send{T: "send", ID: id, Conversation: f.conversation, Body: f.body.String(), ReplyTo: f.replyTo}
		}
	case "withdraw":
		var id chat.ClientID
		if id.UnmarshalText(f.id) == nil {
			return &Withdraw{T: "withdraw", ID: id}
		}
	case "mark":
		if f.conversation != 0 {
			return &Mark{T: "mark", Conversation: f.conversation, Read: f.read, Received: f.received}
		}
	case "typing":
		if f.conversation != 0 {
			return &Typing{T: "typing", Conversation: f.conversation}
		}
	case "ping":
		return &Ping{T: "ping", Cursor: string(f.cursor)}
	}
	return nil
}

// SendHead returns the id and the conversation of a send frame without decoding the
// rest, for who refuses it whatever it says. It reports false for every other frame,
// and for a send that is not valid or not written plainly: [DecodeInbound] knows those.
// It allocates nothing.
func SendHead(p []byte) (id chat.ClientID, conversation chat.ConversationID, ok bool) {
	var f plainFields
	if !f.scan(p) || string(f.t) != "send" {
		return chat.ClientID{}, 0, false
	}
	id, ok = f.sendID()
	return id, f.conversation, ok
}

// sendID returns the id of a send frame. It reports false when the frame is wrong.
func (f *plainFields) sendID() (id chat.ClientID, ok bool) {
	return id, f.conversation != 0 && id.UnmarshalText(f.id) == nil
}

// plainFields are the fields of all frames that decodePlain knows. The slices are
// parts of the input.
type plainFields struct {
	t, id, cursor           []byte
	conversation            chat.ConversationID
	body                    plainText
	replyTo, read, received int64
}

// scan reads the object that p is. It reports whether p is written plainly.
func (f *plainFields) scan(p []byte) bool {
	in := plainInput{p}
	if !in.skip('{') {
		return false
	}
	const (
		fieldT = 1 << iota
		fieldID
		fieldConversation
		fieldBody
		fieldReplyTo
		fieldRead
		fieldReceived
		fieldCursor
	)
	for seen := 0; ; {
		name, ok := in.ascii()
		if !ok || !in.skip(':') {
			return false
		}
		var field int
		switch string(name) {
		case "t":
			field = fieldT
			f.t, ok = in.ascii()
		case "id":
			field = fieldID
			f.id, ok = in.ascii()
		case "conversation":
			field = fieldConversation
			var id []byte
			id, ok = in.ascii()
			ok = ok && f.conversation.UnmarshalText(id) == nil
		case "body":
			field = fieldBody
			f.body, ok = in.text()
		case "reply_to":
			field = fieldReplyTo
			f.replyTo, ok = in.digits()
		case "read":
			field = fieldRead
			f.read, ok = in.digits()
		case "received":
			field = fieldReceived
			f.received, ok = in.digits()
		case "cursor":
			field = fieldCursor
			f.cursor, ok = in.ascii()
		default:
			return false
		}
		if !ok || seen&field != 0 {
			return false
		}
		seen |= field
		if !in.skip(',') {
			return in.skip('}') && in.atEnd()
		}
	}
}

// plainInput is what is still to be read of a frame. Its methods skip the white
// space before what they read, and report whether that was there and plain.
type plainInput struct{ rest []byte }

func (in *plainInput) skipSpace() {
	for len(in.rest) > 0 && (in.rest[0] == ' ' || in.rest[0] == '\t' || in.rest[0] == '\n' || in.rest[0] == '\r') {
		in.rest = in.rest[1:]
	}
}

func (in *plainInput) atEnd() bool {
	in.skipSpace()
	return len(in.rest) == 0
}

// skip reads c.
func (in *plainInput) skip(c byte) bool {
	in.skipSpace()
	if len(in.rest) == 0 || in.rest[0] != c {
		return false
	}
	in.rest = in.rest[1:]
	return true
}

// digits reads a number from 0 to 10^18-1, so that it cannot overflow.
func (in *plainInput) digits() (n int64, ok bool) {
	in.skipSpace()
	i := 0
	for ; i < len(in.rest) && '0' <= in.rest[i] && in.rest[i] <= '9'; i++ {
		if i == 18 || i == 1 && n == 0 { // too long, or a leading zero
			return 0, false
		}
		n = n*10 + int64(in.rest[i]-'0')
	}
	in.rest = in.rest[i:]
	return n, i > 0
}

// ascii reads a string of ASCII characters without escapes, and returns the part
// of the input that is between its quotes.
func (in *plainInput) ascii() ([]byte, bool) {
	if !in.skip('"') {
		return nil, false
	}
	for i, c := range in.rest {
		switch {
		case c == '"':
			s := in.rest[:i]
			in.rest = in.rest[i+1:]
			return s, true
		case c < ' ' || c >= utf8.RuneSelf || c == '\\':
			return nil, false
		}
	}
	return nil, false
}

// text reads a string of valid UTF-8 in which any character may be escaped, but
// not half a surrogate pair.
func (in *plainInput) text() (plainText, bool) {
	if !in.skip('"') {
		return plainText{}, false
	}
	longer := 0 // how many bytes the escapes have more than what they stand for
	for i := 0; i < len(in.rest); i++ {
		switch c := in.rest[i]; {
		case c == '"':
			s := in.rest[:i]
			in.rest = in.rest[i+1:]
			return plainText{s, longer}, utf8.Valid(s)
		case c == '\\':
			r, size := unescapeRune(in.rest[i:])
			if size == 0 {
				return plainText{}, false
			}
			longer += size - utf8.RuneLen(r)
			i += size - 1
		case c < ' ':
			return plainText{}, false
		}
	}
	return plainText{}, false
}

// plainText is a string of JSON, the part of the input that is between its quotes.
type plainText struct {
	raw    []byte
	longer int // how many bytes its escapes have more than what they stand for
}

// String returns what the text stands for.
func (t plainText) String() string {
	if t.longer > 0 {
		return unescape(t.raw, len(t.raw)-t.longer)
	}
	return string(t.raw)
}

// unescape returns s with what its escapes stand for, which has n bytes.
func unescape(s []byte, n int) string {
	var b strings.Builder
	b.Grow(n)
	for {
		i := bytes.IndexByte(s, '\\')
		if i < 0 {
			b.Write(s)
			return b.String()
		}
		b.Write(s[:i])
		r, size := unescapeRune(s[i:])
		b.WriteRune(r)
		s = s[i+size:]
	}
}

// unescapeRune returns the character that the escape at the beginning of s stands
// for, and how many bytes the escape has: 0 when it stands for none, as half a
// surrogate pair does.
func unescapeRune(s []byte) (rune, int) {
	if len(s) < 2 {
		return 0, 0
	}
	switch s[1] {
	case '"', '\\', '/':
		return rune(s[1]), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	}
	const unit = len(`\u0000`)
	r, ok := unescapeUTF16(s)
	switch {
	case !ok:
		return 0, 0
	case !utf16.IsSurrogate(r):
		return r, unit
	}
	low, ok := unescapeUTF16(s[unit:])
	if r = utf16.DecodeRune(r, low); !ok || r == utf8.RuneError {
		return 0, 0
	}
	return r, 2 * unit
}

// unescapeUTF16 returns the unit of UTF-16 that \uXXXX at the beginning of s stands
// for.
func unescapeUTF16(s []byte) (rune, bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(s[2:6]), 16, 16)
	return rune(n), err == nil
}
