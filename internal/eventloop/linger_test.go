//go:build linux

package eventloop

import (
	"io"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/linger"
)

// countingReader counts the pieces in which it gets the bytes of a connection.
type countingReader struct {
	*recordingReader
	pieces int
}

func (c *countingReader) Data(p []byte) error {
	c.pieces++
	return c.recordingReader.Data(p)
}

// What comes in small pieces, one shortly after the other, is read together where that
// pays.
func TestReadsLinger(t *testing.T) {
	const bytes = 300
	l := &Loop{Linger: linger.New(50 * time.Millisecond)}
	near, distant := pair(t)
	g := &countingReader{recordingReader: &recordingReader{conn: near, ended: make(chan error, 1)}}
	if !l.Add(near, g) {
		t.Fatal("the loop does not read a TCP connection")
	}
	for range bytes {
		if _, err := distant.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	_ = distant.Close()
	if err := g.wait(t); err != io.EOF {
		t.Errorf("ended with %v", err)
	}
	l.Wait()
	if len(g.got) != bytes || g.pieces > bytes/2 { // the first are not known to be frequent
		t.Errorf("%d bytes came in %d pieces", len(g.got), g.pieces)
	}
}
