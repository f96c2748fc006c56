package socket

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// The close codes that a server gives (RFC 6455, section 7.4.1).
const (
	codeNormal       = 1000
	CodeGoingAway    = 1001
	codeProtocol     = 1002
	codeUnsupported  = 1003
	codeInvalidText  = 1007
	codeTooLarge     = 1009
	minPrivateCode   = 3000
	maxPrivateCode   = 4999
	maxControlLength = 125
)

// violation is a breach of the protocol; it ends the connection.
type violation struct {
	code int
	text string
}

func (v *violation) Error() string { return fmt.Sprintf("%s (%d)", v.text, v.code) }

// parser takes a client's bytes, in whatever pieces they come, and calls emit
// for each whole text message and each control frame. Its zero value is ready.
type parser struct {
	partial    []byte // a frame of which not all has come
	message    []byte // fragments of a message of which not all has come
	fragmented bool
}

// feed handles p, which it may change and does not keep. emit's payload is
// valid during the call only.
func (r *parser) feed(p []byte, maxMessage int, emit func(op ws.OpCode, payload []byte) error) error {
	data := p
	if len(r.partial) > 0 {
		r.partial = append(r.partial, p...)
		data = r.partial
	}
	for len(data) > 0 {
		n, err := r.frame(data, maxMessage, emit)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		data = data[n:]
	}
	switch {
	case len(data) == 0:
		r.partial = nil // idle connections keep no buffer
	case len(r.partial) > 0 && len(data) == len(r.partial):
		// nothing was used; it is all there already
	default:
		r.partial = append(make([]byte, 0, max(len(data), 512)), data...)
	}
	return nil
}

// frame handles the frame at the start of data and tells its length; 0 when
// not all of it has come.
func (r *parser) frame(data []byte, maxMessage int, emit func(op ws.OpCode, payload []byte) error) (int, error) {
	if len(data) < 2 {
		return 0, nil
	}
	fin, op, masked := data[0]&0x80 != 0, ws.OpCode(data[0]&0x0f), data[1]&0x80 != 0
	if err := r.checkHead(data[0], op, fin, masked); err != nil {
		return 0, err
	}
	length, head := uint64(data[1]&0x7f), 2
	switch length {
	case 126:
		if head = 4; len(data) < head {
			return 0, nil
		}
		length = uint64(binary.BigEndian.Uint16(data[2:]))
	case 127:
		if head = 10; len(data) < head {
			return 0, nil
		}
		length = binary.BigEndian.Uint64(data[2:])
	}
	control := op >= ws.OpClose
	switch {
	case control && length > maxControlLength:
		return 0, &violation{codeProtocol, "a control frame is too long"}
	// Decided by the head alone: nothing of what is too large is kept.
	case !control && length > uint64(maxMessage-len(r.message)):
		return 0, &violation{codeTooLarge, fmt.Sprintf("a message may have %d bytes", maxMessage)}
	}
	whole := head + 4 + int(length)
	if len(data) < whole {
		return 0, nil
	}
	payload := data[head+4 : whole]
	ws.Cipher(payload, [4]byte(data[head:head+4]), 0)
	return whole, r.take(op, fin, payload, emit)
}

func (r *parser) checkHead(first byte, op ws.OpCode, fin, masked bool) error {
	switch {
	case first&0x70 != 0:
		return &violation{codeProtocol, "no extension was negotiated, yet reserved bits are set"}
	case !masked:
		return &violation{codeProtocol, "frames from a client must be masked"}
	case op == ws.OpBinary:
		return &violation{codeUnsupported, "only text messages are understood"}
	case op == ws.OpContinuation && !r.fragmented:
		return &violation{codeProtocol, "there is no message to continue"}
	case op == ws.OpText && r.fragmented:
		return &violation{codeProtocol, "the message before was not finished"}
	case op > ws.OpBinary && op < ws.OpClose, op > ws.OpPong:
		return &violation{codeProtocol, "unknown kind of frame"}
	case op >= ws.OpClose && !fin:
		return &violation{codeProtocol, "control frames must not be fragmented"}
	}
	return nil
}

func (r *parser) take(op ws.OpCode, fin bool, payload []byte, emit func(op ws.OpCode, payload []byte) error) error {
	if op >= ws.OpClose {
		return emit(op, payload)
	}
	if r.fragmented || !fin {
		r.message = append(r.message, payload...)
		r.fragmented = !fin
		if !fin {
			return nil
		}
		payload, r.message = r.message, nil
	}
	if !utf8.Valid(payload) {
		return &violation{codeInvalidText, "a text message must be UTF-8"}
	}
	return emit(ws.OpText, payload)
}

// closeReply is the code with which a close frame is answered: the one it
// carries, if a peer may send it.
func closeReply(payload []byte) (code int, err error) {
	if len(payload) == 0 {
		return codeNormal, nil
	}
	if len(payload) == 1 {
		return 0, &violation{codeProtocol, "a close frame has half a code"}
	}
	code = int(binary.BigEndian.Uint16(payload))
	switch {
	case !utf8.Valid(payload[2:]):
		return 0, &violation{codeInvalidText, "the reason of a close frame must be UTF-8"}
	case code >= minPrivateCode && code <= maxPrivateCode:
		return code, nil
	case code < 1000 || code > 1014 || (code >= 1004 && code <= 1006):
		return 0, &violation{codeProtocol, "a close frame has a code that must not be sent"}
	}
	return code, nil
}
