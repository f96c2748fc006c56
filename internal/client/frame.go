package client

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/gobwas/ws"
)

// Frame is a frame from the server. Raw is only valid during the call that
// hands it over.
type Frame struct {
	T   string
	Raw []byte
}

// Into decodes the frame into one of the wire types.
func (f Frame) Into(v any) error { return json.Unmarshal(f.Raw, v) }

// maxServerFrame bounds what a server may send in one frame.
const maxServerFrame = 16 << 20

// raw is a frame of the WebSocket protocol (RFC 6455, section 5.2).
type raw struct {
	op      ws.OpCode
	payload []byte
}

// parse reads the frame at the start of data and tells its length; 0 when not
// all of it has come.
func parse(data []byte) (f raw, length int, err error) {
	if len(data) < 2 {
		return raw{}, 0, nil
	}
	payload, head := uint64(data[1]), 2
	switch {
	case payload >= 0x80:
		return raw{}, 0, errors.New("the server sent a masked frame")
	case payload == 126:
		if head = 4; len(data) < head {
			return raw{}, 0, nil
		}
		payload = uint64(binary.BigEndian.Uint16(data[2:]))
	case payload == 127:
		if head = 10; len(data) < head {
			return raw{}, 0, nil
		}
		payload = binary.BigEndian.Uint64(data[2:])
	}
	if payload > maxServerFrame {
		return raw{}, 0, fmt.Errorf("the server sent a frame of %d bytes", payload)
	}
	length = head + int(payload)
	if len(data) < length {
		return raw{}, 0, nil
	}
	f = raw{op: ws.OpCode(data[0] & 0x0f), payload: data[head:length]}
	if fin := data[0]&0x80 != 0; f.op == ws.OpContinuation || !fin {
		return raw{}, 0, errors.New("the server sent a fragmented message")
	}
	return f, length, nil
}

// appendFrame appends a masked frame.
func appendFrame(dst []byte, op ws.OpCode, payload []byte) []byte {
	const masked = 0x80
	dst = append(dst, 0x80|byte(op))
	switch n := len(payload); {
	case n < 126:
		dst = append(dst, masked|byte(n))
	case n < 1<<16:
		dst = append(dst, masked|126)
		dst = binary.BigEndian.AppendUint16(dst, uint16(n))
	default:
		dst = append(dst, masked|127)
		dst = binary.BigEndian.AppendUint64(dst, uint64(n))
	}
	mask := ws.NewMask()
	dst = append(dst, mask[:]...)
	start := len(dst)
	dst = append(dst, payload...)
	ws.Cipher(dst[start:], mask, 0)
	return dst
}

// frameType reads the value of "t", which this server writes first.
func frameType(p []byte) string {
	const start = `{"t":"`
	if bytes.HasPrefix(p, []byte(start)) {
		rest := p[len(start):]
		if i := bytes.IndexByte(rest, '"'); i >= 0 {
			// The frequent ones without a copy.
			switch t := rest[:i]; string(t) {
			case "message":
				return "message"
			case "accepted":
				return "accepted"
			case "pong":
				return "pong"
			default:
				return string(t)
			}
		}
	}
	var head struct {
		T string `json:"t"`
	}
	_ = json.Unmarshal(p, &head)
	return head.T
}
