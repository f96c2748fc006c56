package wsframe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// Peer is the sender of the parsed bytes.
type Peer bool

// Clients mask their frames, servers do not.
const (
	FromServer Peer = false
	FromClient Peer = true
)

// ErrPause is returned by emit to make Feed stop after this frame. The bytes
// behind it are parsed by the next Feed, which may be called with no new bytes.
var ErrPause = errors.New("wsframe: pause")

// Parser parses a peer's bytes, in pieces of any size. Its zero value is ready to
// use. It is small, because a server has one for each connection: a pointer, nil
// unless a frame or message is incomplete. It is not safe for concurrent use.
type Parser struct{ rest *incomplete }

// incomplete is what a parser has of frames and messages that are incomplete.
type incomplete struct {
	partial    []byte // an incomplete frame
	message    []byte // fragments of an incomplete message
	validated  uint32 // bytes of message that were validated as UTF-8
	fragmented bool
}

// Feed parses p, which it may change and does not retain. It calls emit for each
// complete text message, as Text, for each control frame, and for each part of a
// message before its last, as Continuation and without a payload; the payload is
// valid during the call only. So there is one call for each frame. maxMessage is the maximum length of a message in
// bytes. An error is an *Error, or what emit returned; Feed must not be called
// after it.
func (parser *Parser) Feed(p []byte, from Peer, maxMessage int, emit func(op Opcode, payload []byte) error) error {
	var r incomplete // most pieces hold whole frames alone, and leave nothing
	if parser.rest != nil {
		r = *parser.rest
	}
	err := r.feed(p, from, maxMessage, emit)
	switch {
	case r.partial == nil && r.message == nil && !r.fragmented:
		parser.rest = nil // idle connections keep nothing
	case parser.rest != nil:
		*parser.rest = r
	default:
		kept := r
		parser.rest = &kept
	}
	return err
}

func (r *incomplete) feed(p []byte, from Peer, maxMessage int, emit func(op Opcode, payload []byte) error) error {
	data := p
	if len(r.partial) > 0 {
		r.partial = append(r.partial, p...)
		data = r.partial
	}
	for len(data) > 0 {
		n, err := r.frame(data, from, maxMessage, emit)
		data = data[n:]
		if err == ErrPause {
			break
		}
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
	}
	switch {
	case len(data) == 0:
		r.partial = nil
	case len(r.partial) > 0 && len(data) == len(r.partial):
		// nothing was consumed; partial has all of it already
	default:
		r.partial = append(make([]byte, 0, max(len(data), 512)), data...)
	}
	return nil
}

// frame handles the frame at the start of data and returns its length, 0 when it
// is incomplete.
func (r *incomplete) frame(data []byte, from Peer, maxMessage int, emit func(op Opcode, payload []byte) error) (int, error) {
	if len(data) < 2 {
		return 0, nil
	}
	fin, op, masked := data[0]&finBit != 0, Opcode(data[0]&0x0f), data[1]&maskBit != 0
	if err := r.validateHeader(data[0], op, fin, masked, from); err != nil {
		return 0, err
	}
	length, header := uint64(data[1]&^maskBit), 2
	switch length {
	case 126:
		if header = 4; len(data) < header {
			return 0, nil
		}
		length = uint64(binary.BigEndian.Uint16(data[2:]))
	case 127:
		if header = 10; len(data) < header {
			return 0, nil
		}
		length = binary.BigEndian.Uint64(data[2:])
	}
	switch {
	case op.isControl() && length > maxControl:
		return 0, &Error{CodeProtocolError, "a control frame is too long"}
	// The header is enough to decide, so too large messages are not buffered.
	case !op.isControl() && length > uint64(maxMessage-len(r.message)):
		return 0, &Error{CodeMessageTooBig, fmt.Sprintf("a message may have %d bytes", maxMessage)}
	}
	start := header
	if masked {
		start += 4
	}
	end := start + int(length)
	if len(data) < end {
		return 0, nil
	}
	payload := data[start:end:end]
	if masked {
		ws.Cipher(payload, [4]byte(data[header:start]), 0)
	}
	return end, r.handlePayload(op, fin, payload, emit)
}

func (r *incomplete) validateHeader(first byte, op Opcode, fin, masked bool, from Peer) error {
	switch {
	case first&rsvBits != 0:
		return &Error{CodeProtocolError, "no extension was negotiated, yet reserved bits are set"}
	case !masked && from == FromClient:
		return &Error{CodeProtocolError, "frames from a client must be masked"}
	case masked && from == FromServer:
		return &Error{CodeProtocolError, "frames from a server must not be masked"}
	case op == Binary:
		return &Error{CodeUnsupportedData, "only text messages are understood"}
	case op == Continuation && !r.fragmented:
		return &Error{CodeProtocolError, "there is no message to continue"}
	case op == Text && r.fragmented:
		return &Error{CodeProtocolError, "the message before was not finished"}
	case op > Binary && op < Close, op > Pong:
		return &Error{CodeProtocolError, "unknown kind of frame"}
	case op.isControl() && !fin:
		return &Error{CodeProtocolError, "control frames must not be fragmented"}
	}
	return nil
}

// handlePayload handles the payload of a frame.
func (r *incomplete) handlePayload(op Opcode, fin bool, payload []byte, emit func(op Opcode, payload []byte) error) error {
	if op.isControl() {
		return emit(op, payload)
	}
	if !r.fragmented && fin {
		if !utf8.Valid(payload) {
			return errNotUTF8
		}
		return emit(Text, payload)
	}
	r.message = append(r.message, payload...)
	r.fragmented = !fin
	// Each fragment is validated once, when it arrives. A character may be split
	// between fragments, but must be complete at the end of the message.
	unchecked := r.message[r.validated:]
	if !fin {
		unchecked = unchecked[:len(unchecked)-incompleteRune(unchecked)]
	}
	if !utf8.Valid(unchecked) {
		return errNotUTF8
	}
	r.validated += uint32(len(unchecked)) //nolint:gosec // messages are bounded
	if !fin {
		return emit(Continuation, nil)
	}
	message := r.message
	r.message, r.validated = nil, 0
	return emit(Text, message)
}

var errNotUTF8 = &Error{CodeInvalidPayload, "a text message must be UTF-8"}

// incompleteRune returns how many bytes at the end of p are the beginning of a
// character that may be continued by the next bytes.
func incompleteRune(p []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(p); n++ {
		if tail := p[len(p)-n:]; utf8.RuneStart(tail[0]) {
			if utf8.FullRune(tail) {
				return 0
			}
			return n
		}
	}
	return 0
}
