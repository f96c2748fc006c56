package client

import (
	"bytes"
	"encoding/json"
)

// Frame is a frame from the server. Raw is only valid during the callback.
type Frame struct {
	T   string
	Raw []byte
}

// Into decodes the frame into a type of package wire.
func (f Frame) Into(v any) error { return json.Unmarshal(f.Raw, v) }

// maxServerMessage bounds the size of a message from the server.
const maxServerMessage = 16 << 20

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
