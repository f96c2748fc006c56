package client

import (
	"bytes"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/wsframe"
)

// discardConn is a connection that takes everything.
type discardConn struct{ net.Conn }

func (discardConn) Write(p []byte) (int, error)      { return len(p), nil }
func (discardConn) SetWriteDeadline(time.Time) error { return nil }
func (discardConn) Close() error                     { return nil }

// What a server sends is understood alike in whatever pieces it comes, and
// whatever it is.
func FuzzPieces(f *testing.F) {
	var whole []byte
	for _, text := range []string{`{"t":"a"}`, string(bytes.Repeat([]byte("x"), 300))} {
		whole = wsframe.AppendFrame(whole, wsframe.Text, []byte(text))
	}
	whole = wsframe.AppendFrame(whole, wsframe.Ping, []byte("there?"))
	whole = wsframe.AppendFrame(whole, wsframe.Close, wsframe.ClosePayload(wsframe.CodeGoingAway, "off"))
	f.Add(whole, uint8(1))
	f.Add(whole, uint8(7))
	f.Add([]byte{0x81, 0x80, 0, 0, 0, 0}, uint8(2))
	f.Add([]byte{0x81, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, uint8(3))
	f.Fuzz(func(t *testing.T, sent []byte, piece uint8) {
		hear := func(piece int) (frames []string, why string, over bool) {
			s := &Socket{conn: discardConn{}, done: make(chan struct{}), onFrame: func(f Frame) { frames = append(frames, string(f.Raw)) }}
			defer s.finish(io.EOF)
			for p := range slices.Chunk(bytes.Clone(sent), piece) {
				if err := s.feed(p); err != nil {
					return frames, err.Error(), s.readDone
				}
			}
			return frames, "", s.readDone
		}
		if bytes.Contains(sent, []byte("goodbye")) {
			return // it starts a timer
		}
		once, why, over := hear(max(len(sent), 1))
		pieces, whyPieces, overPieces := hear(int(piece) + 1)
		if !slices.Equal(once, pieces) || why != whyPieces || over != overPieces {
			t.Errorf("at once %q (%s, %t), in pieces %q (%s, %t)", once, why, over, pieces, whyPieces, overPieces)
		}
	})
}
