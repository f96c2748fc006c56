package websocket

import (
	"io"
	"testing"

	"github.com/gobwas/ws"
)

// A client that is closed because of what it sends learns why, though it goes on
// sending, and nothing more is read. Parts of messages and control frames count.
func TestNothingIsReadAfterTheLimit(t *testing.T) {
	forBothReaders(t, func(t *testing.T, cfg Config) {
		for name, frame := range map[string][]byte{
			"messages": masked(true, ws.OpText, "x"),
			"pings":    masked(true, ws.OpPing, "x"),
			"pongs":    masked(true, ws.OpPong, ""),
			"parts":    masked(false, ws.OpContinuation, ""),
		} {
			t.Run(name, func(t *testing.T) {
				f := serve(t, cfg)
				p := dial(t, f, "/limited")
				e := <-f.handler
				<-f.conns
				if name == "parts" {
					p.write(masked(false, ws.OpText, ""))
				}
				go func() {
					for {
						if _, err := p.Write(frame); err != nil {
							return
						}
					}
				}()
				for {
					header, err := ws.ReadHeader(p.br)
					if err != nil {
						t.Fatal(err)
					}
					payload := make([]byte, header.Length)
					if _, err := io.ReadFull(p.br, payload); err != nil {
						t.Fatal(err)
					}
					if header.OpCode == ws.OpClose {
						if code, _ := ws.ParseCloseFrameData(payload); code != 4002 {
							t.Errorf("closed with %d", code)
						}
						break
					}
				}
				_ = e.waitClosed(t)
				if e.frames != e.limit+1 {
					t.Errorf("%d frames were read, %d allowed", e.frames, e.limit)
				}
			})
		}
	})
}
