package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

// Close codes of hikyaku.v1, besides those of RFC 6455. With codes below 4100 the
// client should reconnect, with codes from 4100 on it must not.
const (
	CloseGoodbye = 4001 // the server stops, or another epoch has begun; reconnect
	CloseFlooded = 4002 // the client went on sending more than it may; reconnect after FloodedPause
	CloseRevoked = 4100 // the session was ended; log in again
)

// FloodedPause is how long a client waits after CloseFlooded before it connects
// again; a little sooner its first frames would be refused, and much sooner the
// connection.
const FloodedPause = 15 * time.Second

// MalformedError is a frame that could not be decoded.
type MalformedError struct {
	ID   string // of the frame, "" if it could not be read
	Text string
}

func (m *MalformedError) Error() string { return m.Text }

// inboundUnion has every field of every client frame, so that one pass over the
// JSON decodes any of them.
type inboundUnion struct {
	T            string              `json:"t"`
	ID           string              `json:"id"`
	Conversation chat.ConversationID `json:"conversation"`
	Body         string              `json:"body"`
	ReplyTo      int64               `json:"reply_to"`
	Read         int64               `json:"read"`
	Received     int64               `json:"received"`
	Users        []chat.UserID       `json:"users"`
	Away         bool                `json:"away"`
	Cursor       string              `json:"cursor"`
	Rev          int64               `json:"rev"`
	Limit        int                 `json:"limit"`
}

// DecodeInbound decodes a frame from a client. It returns nil, nil for an unknown
// type: such frames are ignored. The error is always a *MalformedError. Nothing of p
// is kept.
func DecodeInbound(p []byte) (Inbound, error) {
	if frame := decodePlain(p); frame != nil {
		return frame, nil
	}
	return decodeJSON(p)
}

// decodeJSON is DecodeInbound for every frame, however it is written.
func decodeJSON(p []byte) (Inbound, error) {
	var u inboundUnion
	if err := json.Unmarshal(p, &u); err != nil {
		// A frame of a later version may use a known field with another type;
		// it must be ignored, not refused.
		var head struct {
			T  string          `json:"t"`
			ID json.RawMessage `json:"id"`
		}
		if json.Unmarshal(p, &head) == nil && head.T != "" && !isKnownType(head.T) {
			return nil, nil
		}
		return nil, &MalformedError{ID: u.ID, Text: jsonErrorText(err)}
	}
	malformed := func(format string, args ...any) (Inbound, error) {
		return nil, &MalformedError{ID: u.ID, Text: fmt.Sprintf(format, args...)}
	}
	needsConversation := u.T == "send" || u.T == "mark" || u.T == "typing"
	if needsConversation && u.Conversation == 0 {
		return malformed("%s: conversation is missing", u.T)
	}
	switch u.T {
	case "":
		return malformed("the frame has no type: t is missing")
	case "send":
		id, err := chat.ParseClientID(u.ID)
		if err != nil {
			return malformed("send: id: %s", err)
		}
		return &Send{T: u.T, ID: id, Conversation: u.Conversation, Body: u.Body, ReplyTo: u.ReplyTo}, nil
	case "withdraw":
		id, err := chat.ParseClientID(u.ID)
		if err != nil {
			return malformed("withdraw: id: %s", err)
		}
		return &Withdraw{T: u.T, ID: id}, nil
	case "mark":
		if u.Read < 0 || u.Received < 0 {
			return malformed("mark: read and received must not be negative")
		}
		return &Mark{T: u.T, Conversation: u.Conversation, Read: u.Read, Received: u.Received}, nil
	case "typing":
		return &Typing{T: u.T, Conversation: u.Conversation}, nil
	case "watch":
		return &Watch{T: u.T, Users: u.Users}, nil
	case "status":
		return &Status{T: u.T, Away: u.Away}, nil
	case "sync":
		if len(u.ID) > 64 {
			return nil, &MalformedError{Text: "sync: id is longer than 64 bytes"}
		}
		if u.Rev < 0 || u.Limit < 0 {
			return malformed("sync: rev and limit must not be negative")
		}
		return &Sync{T: u.T, ID: u.ID, Cursor: u.Cursor, Conversation: u.Conversation, Rev: u.Rev, Limit: u.Limit}, nil
	case "ping":
		return &Ping{T: u.T, Cursor: u.Cursor}, nil
	}
	return nil, nil
}

func isKnownType(t string) bool {
	switch t {
	case "send", "withdraw", "mark", "typing", "watch", "status", "sync", "ping":
		return true
	}
	return false
}

func jsonErrorText(err error) string {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Sprintf("the frame is not JSON: %s at byte %d", syntax.Error(), syntax.Offset)
	case errors.As(err, &kind) && kind.Field == "":
		return "the frame is not a JSON object"
	case errors.As(err, &kind):
		return fmt.Sprintf("%s must not be a %s", kind.Field, kind.Value)
	}
	return err.Error()
}

// Encode encodes a server frame as JSON. The most frequent frames have encoders of
// their own below, which produce the same bytes without reflection.
func Encode(frame any) []byte {
	b, err := json.Marshal(frame)
	if err != nil {
		// All fields of frames can be marshalled; this is a bug in this
		// package, found by its tests.
		panic(fmt.Sprintf("wire: encode %T: %v", frame, err))
	}
	return b
}

// AppendAccepted appends an encoded [Accepted] frame.
func AppendAccepted(b []byte, id chat.ClientID) []byte {
	b = append(b, `{"t":"accepted","id":"`...)
	b, _ = id.AppendText(b)
	return append(b, `"}`...)
}

// AppendRejected appends an encoded [Rejected] frame.
func AppendRejected(b []byte, f *Rejected) []byte {
	b = append(b, `{"t":"rejected","id":"`...)
	b, _ = f.ID.AppendText(b)
	b = append(b, `","code":`...)
	b = appendString(b, f.Code)
	b = append(b, `,"text":`...)
	b = appendString(b, f.Text)
	if f.RetryAfterMS != 0 {
		b = append(b, `,"retry_after_ms":`...)
		b = strconv.AppendInt(b, f.RetryAfterMS, 10)
	}
	if f.WaitsFor != (chat.ClientID{}) {
		b = append(b, `,"waits_for":"`...)
		b, _ = f.WaitsFor.AppendText(b)
		b = append(b, '"')
	}
	return append(b, '}')
}

// AppendWithdrawn appends an encoded [Withdrawn] frame.
func AppendWithdrawn(b []byte, id chat.ClientID) []byte {
	b = append(b, `{"t":"withdrawn","id":"`...)
	b, _ = id.AppendText(b)
	return append(b, `"}`...)
}

// AppendMessage appends an encoded [MessageFrame]; t is message, edited or
// deleted.
func AppendMessage(b []byte, t string, m *chat.Message) []byte {
	b = append(b, `{"t":"`...)
	b = append(b, t...)
	b = append(b, `","conversation":"`...)
	b = strconv.AppendInt(b, int64(m.Conversation), 10)
	b = append(b, `","seq":`...)
	b = strconv.AppendInt(b, m.Seq, 10)
	b = append(b, `,"rev":`...)
	b = strconv.AppendInt(b, m.Rev, 10)
	b = append(b, `,"id":"`...)
	b = strconv.AppendInt(b, int64(m.ID), 10)
	b = append(b, `","sender":"`...)
	b = strconv.AppendInt(b, int64(m.Sender), 10)
	b = append(b, `","client_id":"`...)
	b, _ = m.ClientID.AppendText(b)
	b = append(b, `","body":`...)
	b = appendString(b, m.Body)
	if m.ReplyTo != 0 {
		b = append(b, `,"reply_to":`...)
		b = strconv.AppendInt(b, m.ReplyTo, 10)
	}
	b = append(b, `,"at":`...)
	b = strconv.AppendInt(b, int64(MillisOf(m.At)), 10)
	if !m.EditedAt.IsZero() {
		b = append(b, `,"edited_at":`...)
		b = strconv.AppendInt(b, int64(MillisOf(m.EditedAt)), 10)
	}
	if !m.DeletedAt.IsZero() {
		b = append(b, `,"deleted_at":`...)
		b = strconv.AppendInt(b, int64(MillisOf(m.DeletedAt)), 10)
	}
	return append(b, '}')
}

const hexDigits = "0123456789abcdef"

// appendString appends s as a JSON string. It escapes the same characters as
// encoding/json, so that both encoders produce the same bytes.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		if c := s[i]; c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&' {
				i++
				continue
			}
			b = append(b, s[start:i]...)
			switch c {
			case '"', '\\':
				b = append(b, '\\', c)
			case '\b':
				b = append(b, '\\', 'b')
			case '\f':
				b = append(b, '\\', 'f')
			case '\n':
				b = append(b, '\\', 'n')
			case '\r':
				b = append(b, '\\', 'r')
			case '\t':
				b = append(b, '\\', 't')
			default:
				b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			}
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 {
			b = append(b, s[start:i]...)
			b = append(b, `\ufffd`...)
			i++
			start = i
			continue
		}
		if r == '\u2028' || r == '\u2029' {
			b = append(b, s[start:i]...)
			b = append(b, `\u202`...)
			b = append(b, hexDigits[r&15])
			i += size
			start = i
			continue
		}
		i += size
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}
