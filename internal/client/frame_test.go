package client

import (
	"bytes"
	"io"
	"slices"
	"testing"

	"github.com/gobwas/ws"
)

// What a server sends is understood alike in whatever pieces it comes, and
// whatever it is.
func FuzzPieces(f *testing.F) {
	whole := slices.Concat(
		ws.MustCompileFrame(ws.NewTextFrame([]byte(`{"t":"a"}`))), ws.MustCompileFrame(ws.NewTextFrame(bytes.Repeat([]byte("x"), 300))),
		ws.MustCompileFrame(ws.NewPongFrame(nil)), ws.MustCompileFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusGoingAway, "off"))),
	)
	f.Add(whole, uint8(1))
	f.Add(whole, uint8(7))
	f.Add([]byte{0x81, 0x80, 0, 0, 0, 0}, uint8(2))
	f.Add([]byte{0x81, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, uint8(3))
	f.Fuzz(func(t *testing.T, sent []byte, piece uint8) {
		hear := func(piece int) (frames []string, why string) {
			s := &Socket{onFrame: func(f Frame) { frames = append(frames, string(f.Raw)) }}
			for p := range slices.Chunk(bytes.Clone(sent), piece) {
				if err := s.feed(p); err != nil {
					return frames, err.Error()
				}
			}
			return frames, ""
		}
		if bytes.Contains(sent, []byte("goodbye")) || bytes.IndexByte(sent, 0x89) >= 0 {
			return // they need a connection
		}
		once, why := hear(max(len(sent), 1))
		pieces, whyPieces := hear(int(piece) + 1)
		if !slices.Equal(once, pieces) || why != whyPieces {
			t.Errorf("at once %q (%s), in pieces %q (%s)", once, why, pieces, whyPieces)
		}
	})
}

func TestFramesAreMasked(t *testing.T) {
	for _, size := range []int{0, 1, 125, 126, 65_535, 65_536, 100_000} {
		payload := bytes.Repeat([]byte("x"), size)
		r := bytes.NewReader(appendFrame(nil, ws.OpText, payload))
		h, err := ws.ReadHeader(r)
		if err != nil || !h.Masked || !h.Fin || h.OpCode != ws.OpText || h.Length != int64(size) || r.Len() != size {
			t.Fatalf("%+v and %d bytes, %v", h, r.Len(), err)
		}
		got, err := io.ReadAll(r)
		if ws.Cipher(got, h.Mask, 0); err != nil || !bytes.Equal(got, payload) {
			t.Errorf("%d bytes did not come as they were sent: %v", size, err)
		}
	}
}
