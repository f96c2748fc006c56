// Package wsframe reads and writes the frames of WebSocket connections (RFC
// 6455, section 5), for servers and for clients.
//
// It supports only text messages, because no protocol here has binary ones: a
// binary frame is refused with close code 1003. Extensions are not negotiated,
// so reserved bits are refused too. It never writes fragmented messages; it reads
// them.
package wsframe

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// Opcode is the kind of a frame (RFC 6455, section 5.2).
type Opcode byte

// The opcodes.
const (
	Continuation Opcode = 0
	Text         Opcode = 1
	Binary       Opcode = 2
	Close        Opcode = 8
	Ping         Opcode = 9
	Pong         Opcode = 10
)

// isControl reports whether it is the opcode of a control frame, which may come
// between the fragments of a message.
func (op Opcode) isControl() bool { return op >= Close }

// Close codes (RFC 6455, section 7.4.1).
const (
	CodeNormal          = 1000
	CodeGoingAway       = 1001
	CodeProtocolError   = 1002
	CodeUnsupportedData = 1003
	CodeNoStatus        = 1005 // never sent: stands for a close frame without a code
	CodeInvalidPayload  = 1007
	CodeMessageTooBig   = 1009
)

const (
	maxControl = 125            // bytes of a control frame's payload
	maxReason  = maxControl - 2 // bytes of a close frame's reason

	finBit  = 0x80
	rsvBits = 0x70
	maskBit = 0x80
)

// Error is a protocol error of a peer. Code is the close code with which the
// connection must be closed.
type Error struct {
	Code   int
	Reason string
}

func (e *Error) Error() string { return fmt.Sprintf("%s (%d)", e.Reason, e.Code) }

// AppendFrame appends a frame as a server sends it.
func AppendFrame(dst []byte, op Opcode, payload []byte) []byte {
	return append(appendHeader(dst, op, 0, len(payload)), payload...)
}

// AppendMasked appends a frame as a client sends it, with an unpredictable mask.
func AppendMasked(dst []byte, op Opcode, payload []byte) []byte {
	dst = appendHeader(dst, op, maskBit, len(payload))
	var mask [4]byte
	binary.BigEndian.PutUint32(mask[:], rand.Uint32()) //nolint:gosec // the runtime's ChaCha8, seeded by the system
	dst = append(dst, mask[:]...)
	start := len(dst)
	dst = append(dst, payload...)
	ws.Cipher(dst[start:], mask, 0)
	return dst
}

func appendHeader(dst []byte, op Opcode, mask byte, length int) []byte {
	dst = append(dst, finBit|byte(op))
	switch {
	case length <= 125:
		return append(dst, mask|byte(length))
	case length < 1<<16:
		return binary.BigEndian.AppendUint16(append(dst, mask|126), uint16(length))
	default:
		return binary.BigEndian.AppendUint64(append(dst, mask|127), uint64(length))
	}
}

// ClosePayload returns the payload of a close frame. A reason that is too long
// is truncated after a complete character.
func ClosePayload(code int, reason string) []byte {
	if len(reason) > maxReason {
		end := maxReason
		for end > 0 && !utf8.RuneStart(reason[end]) {
			end--
		}
		reason = reason[:end]
	}
	return append(binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(reason)), uint16(code)), reason...) //nolint:gosec // codes have 16 bits
}

// ParseClose parses the payload of a close frame. The code is CodeNoStatus when
// the payload is empty. The error is an *Error.
func ParseClose(payload []byte) (code int, reason string, err error) {
	switch len(payload) {
	case 0:
		return CodeNoStatus, "", nil
	case 1:
		return 0, "", &Error{CodeProtocolError, "a close frame has half a code"}
	}
	code = int(binary.BigEndian.Uint16(payload))
	switch {
	case !utf8.Valid(payload[2:]):
		return 0, "", &Error{CodeInvalidPayload, "the reason of a close frame must be UTF-8"}
	case !validCloseCode(code):
		return 0, "", &Error{CodeProtocolError, "a close frame has a code that must not be sent"}
	}
	return code, string(payload[2:]), nil
}

// validCloseCode reports whether a close frame may have this code (RFC 6455, section
// 7.4, and IANA's registry, which has added 1012 to 1014).
func validCloseCode(code int) bool {
	switch {
	case code >= 1000 && code <= 1003, code >= 1007 && code <= 1014:
		return true
	default:
		return code >= 3000 && code <= 4999 // libraries' and applications' own
	}
}
