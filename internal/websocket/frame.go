package websocket

import "github.com/hikyaku-chat/hikyaku/internal/wsframe"

// maxHeader is the length of the longest header that a server writes.
const maxHeader = 10

// Frame is an encoded text message for clients. It is encoded once and may be
// sent to any number of connections; its bytes must not change.
type Frame []byte

// NewFrame encodes a text message. The payload must be UTF-8.
func NewFrame(payload []byte) Frame {
	return newFrame(wsframe.Text, payload)
}

func newFrame(op wsframe.Opcode, payload []byte) []byte {
	return wsframe.AppendFrame(make([]byte, 0, len(payload)+maxHeader), op, payload)
}

func closeFrame(code int, reason string) []byte {
	return newFrame(wsframe.Close, wsframe.ClosePayload(code, reason))
}
