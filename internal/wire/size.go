package wire

import "unicode/utf8"

// The bytes that an object has in JSON without its texts, when every number in it
// is as long as can be.
const (
	messageBytes = 360
	summaryBytes = 676
	userBytes    = 100
	// GoneBytes is how many bytes an id in [Synced].Gone has at most.
	GoneBytes = 24
	// FailureBytes is how many bytes a [Failure] has at most: its text is one
	// sentence of the server's own.
	FailureBytes = 320
)

// MaxSize returns how many bytes the JSON of m has at most. It is close for a long
// text, and costs much less than to encode it.
func (m *Message) MaxSize() int { return messageBytes + stringSize(m.Body) }

// MaxSize returns how many bytes the JSON of s has at most.
func (s *Summary) MaxSize() int {
	n := summaryBytes + stringSize(s.Title) + stringSize(s.Topic)
	if s.Last != nil {
		n += s.Last.MaxSize()
	}
	if s.Peer != nil {
		n += userBytes + stringSize(s.Peer.Name) + stringSize(s.Peer.DisplayName)
	}
	return n
}

// stringSize returns how many bytes s has as a JSON string without its quotes; see
// [appendString].
func stringSize(s string) int {
	n := len(s)
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			switch {
			case c == '"' || c == '\\' || c == '\b' || c == '\f' || c == '\n' || c == '\r' || c == '\t':
				n++
			case c < ' ' || c == '<' || c == '>' || c == '&':
				n += len(`\u0000`) - 1
			}
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 || r == '\u2028' || r == '\u2029' {
			n += len(`\u0000`) - size
		}
		i += size
	}
	return n
}
