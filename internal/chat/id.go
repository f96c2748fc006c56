package chat

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"time"
)

// UserID is the id of an account. Ids are positive, 64-bit and ordered by time of
// creation (see package snowflake). In JSON they are decimal strings, because
// JavaScript's numbers are exact only up to 2^53.
type UserID int64

// ConversationID is the id of a conversation; see [UserID] for its form.
type ConversationID int64

// MessageID is the id of a message, unique in the installation. The order of
// messages is that of their Seq, never of their id.
type MessageID int64

// SessionID is the id of a session: a logged-in device.
type SessionID int64

func (id UserID) String() string         { return strconv.FormatInt(int64(id), 10) }
func (id ConversationID) String() string { return strconv.FormatInt(int64(id), 10) }
func (id MessageID) String() string      { return strconv.FormatInt(int64(id), 10) }
func (id SessionID) String() string      { return strconv.FormatInt(int64(id), 10) }

// MarshalText writes the id as decimal digits.
func (id UserID) MarshalText() ([]byte, error) { return strconv.AppendInt(nil, int64(id), 10), nil }

// MarshalText writes the id as decimal digits.
func (id ConversationID) MarshalText() ([]byte, error) {
	return strconv.AppendInt(nil, int64(id), 10), nil
}

// MarshalText writes the id as decimal digits.
func (id MessageID) MarshalText() ([]byte, error) { return strconv.AppendInt(nil, int64(id), 10), nil }

// MarshalText writes the id as decimal digits.
func (id SessionID) MarshalText() ([]byte, error) { return strconv.AppendInt(nil, int64(id), 10), nil }

// UnmarshalText reads decimal digits.
func (id *UserID) UnmarshalText(text []byte) error { return parseID((*int64)(id), text, "user") }

// UnmarshalText reads decimal digits.
func (id *ConversationID) UnmarshalText(text []byte) error {
	return parseID((*int64)(id), text, "conversation")
}

// UnmarshalText reads decimal digits.
func (id *MessageID) UnmarshalText(text []byte) error { return parseID((*int64)(id), text, "message") }

// UnmarshalText reads decimal digits.
func (id *SessionID) UnmarshalText(text []byte) error { return parseID((*int64)(id), text, "session") }

// parseID parses the canonical form of an id: no sign, no leading zero, above
// zero. With two forms of one id, caches and searches in logs would miss it.
func parseID(dst *int64, text []byte, what string) error {
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil || n <= 0 || text[0] < '1' || text[0] > '9' {
		return fmt.Errorf("%q is not the id of a %s", truncate(string(text)), what)
	}
	*dst = n
	return nil
}

// truncate shortens a client's input for an error text.
func truncate(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}

// ClientID is the id that the sender's device gave to a message: a UUID of version
// 7 (RFC 9562, section 5.7). Sender and client id together are the idempotency key
// of a send, for ever (G2).
type ClientID [16]byte

// ParseClientID parses the canonical form of a UUIDv7: 36 characters, lower-case
// hexadecimal digits, version 7, variant 10 (binary).
func ParseClientID(s string) (ClientID, error) {
	var id ClientID
	err := id.UnmarshalText([]byte(s))
	return id, err
}

// UnmarshalText reads the canonical form; see [ParseClientID].
func (id *ClientID) UnmarshalText(text []byte) error {
	var out ClientID
	if !decodeUUID(&out, text) || out[6]>>4 != 7 || out[8]>>6 != 0b10 {
		return fmt.Errorf("%q is not a UUID of version 7 in lower case", truncate(string(text)))
	}
	*id = out
	return nil
}

func decodeUUID(dst *ClientID, text []byte) bool {
	if len(text) != 36 || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-' {
		return false
	}
	n := 0
	for i := 0; i < 36; {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			i++ // the hyphen that was checked above
			continue
		}
		hi, ok1 := unhex(text[i])
		lo, ok2 := unhex(text[i+1])
		if !ok1 || !ok2 {
			return false
		}
		dst[n] = hi<<4 | lo
		n++
		i += 2
	}
	return true
}

func unhex(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	}
	return 0, false
}

// AppendText appends the canonical form to b.
func (id ClientID) AppendText(b []byte) ([]byte, error) {
	b = hex.AppendEncode(b, id[0:4])
	b = append(b, '-')
	b = hex.AppendEncode(b, id[4:6])
	b = append(b, '-')
	b = hex.AppendEncode(b, id[6:8])
	b = append(b, '-')
	b = hex.AppendEncode(b, id[8:10])
	b = append(b, '-')
	return hex.AppendEncode(b, id[10:16]), nil
}

// MarshalText writes the canonical form.
func (id ClientID) MarshalText() ([]byte, error) { return id.AppendText(make([]byte, 0, 36)) }

// String returns the canonical form.
func (id ClientID) String() string {
	b, _ := id.AppendText(make([]byte, 0, 36))
	return string(b)
}

// Time returns the time in the id, in milliseconds: when the device made it. It
// comes from the device's clock and must not be trusted.
func (id ClientID) Time() time.Time {
	ms := int64(id[0])<<40 | int64(id[1])<<32 | int64(id[2])<<24 | int64(id[3])<<16 | int64(id[4])<<8 | int64(id[5])
	return time.UnixMilli(ms)
}
