package socket

import (
	"encoding/binary"

	"github.com/gobwas/ws"
)

// Frame is a text message as it goes over the wire to a client. It is made
// once and may be sent to any number of connections; its bytes must not change.
type Frame []byte

// NewFrame frames a text.
func NewFrame(payload []byte) Frame {
	return appendFrame(make([]byte, 0, len(payload)+10), ws.OpText, payload)
}

// appendFrame appends an unmasked, unfragmented frame (RFC 6455, section 5.2).
func appendFrame(dst []byte, op ws.OpCode, payload []byte) []byte {
	dst = append(dst, 0x80|byte(op))
	switch n := len(payload); {
	case n < 126:
		dst = append(dst, byte(n))
	case n < 1<<16:
		dst = append(dst, 126)
		dst = binary.BigEndian.AppendUint16(dst, uint16(n))
	default:
		dst = append(dst, 127)
		dst = binary.BigEndian.AppendUint64(dst, uint64(n))
	}
	return append(dst, payload...)
}

// closeFrame is a close frame with a code and a reason of at most 123 bytes.
func closeFrame(code int, reason string) []byte {
	if len(reason) > 123 {
		reason = reason[:123]
	}
	payload := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(reason)), uint16(code))
	return appendFrame(nil, ws.OpClose, append(payload, reason...))
}
