//go:build linux

package eventloop

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/hikyaku-chat/hikyaku/internal/linger"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testTimeout limits every wait; it is reached only when a test fails.
const testTimeout = 20 * time.Second

// recordingReader records the bytes of a connection.
type recordingReader struct {
	conn net.Conn
	stop []byte // Data fails on it

	mu    sync.Mutex
	got   []byte
	ended chan error
}

var errStop = errors.New("stop")

func (g *recordingReader) Data(p []byte) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.got = append(g.got, p...)
	clear(p) // a reader may change it
	if g.stop != nil && bytes.Contains(g.got, g.stop) {
		return errStop
	}
	return nil
}

func (g *recordingReader) End(err error) {
	_ = g.conn.Close()
	g.ended <- err
}

func (g *recordingReader) wait(t *testing.T) error {
	t.Helper()
	select {
	case err := <-g.ended:
		return err
	case <-time.After(testTimeout):
		t.Fatal("the connection has not ended")
		return nil
	}
}

// pair returns both ends of a connection.
func pair(t *testing.T) (near net.Conn, far *net.TCPConn) {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	dialed, err := new(net.Dialer).DialContext(t.Context(), "tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dialed.Close() })
	if near, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	return near, dialed.(*net.TCPConn)
}

// connect returns a reader of one end of a connection, which the loop reads, and the
// other end.
func connect(t *testing.T, l *Loop, stop []byte) (*recordingReader, *net.TCPConn) {
	t.Helper()
	near, far := pair(t)
	g := &recordingReader{conn: near, stop: stop, ended: make(chan error, 1)}
	if !l.Add(near, g) {
		t.Fatal("the loop does not read a TCP connection")
	}
	return g, far
}

// The bytes of many concurrent connections arrive completely and in order, and
// the loop stops when all have ended. Then it starts again.
func TestManyConnections(t *testing.T) {
	for _, wait := range []*linger.Linger{nil, linger.New(4 * time.Millisecond)} {
		testManyConnections(t, &Loop{Linger: wait})
	}
}

func testManyConnections(t *testing.T, l *Loop) {
	t.Helper()
	for range 2 {
		const conns, lines = 300, 200 // more than maxEvents
		var writing sync.WaitGroup
		gatherers := make([]*recordingReader, conns)
		for i := range gatherers {
			g, far := connect(t, l, nil)
			gatherers[i] = g
			writing.Go(func() {
				for n := range lines {
					if _, err := fmt.Fprintf(far, "%d %d\n", i, n); err != nil {
						t.Error(err)
					}
				}
				_ = far.Close()
			})
		}
		writing.Wait()
		for i, g := range gatherers {
			if err := g.wait(t); err != io.EOF {
				t.Errorf("connection %d ended with %v", i, err)
			}
			var want bytes.Buffer
			for n := range lines {
				_, _ = fmt.Fprintf(&want, "%d %d\n", i, n)
			}
			if !bytes.Equal(g.got, want.Bytes()) {
				t.Errorf("connection %d has %q", i, g.got)
			}
		}
		l.Wait()
	}
}

// The end of a connection, by its reader, by a shutdown or by a reset, does not
// affect the others.
func TestConnectionEnds(t *testing.T) {
	var l Loop
	other, farOther := connect(t, &l, nil)
	g, far := connect(t, &l, []byte("stop"))
	if _, err := far.Write([]byte("so stop")); err != nil {
		t.Fatal(err)
	}
	if err := g.wait(t); err != errStop {
		t.Errorf("ended with %v", err)
	}
	g, _ = connect(t, &l, nil)
	if err := g.conn.(*net.TCPConn).CloseRead(); err != nil {
		t.Fatal(err)
	}
	if err := g.wait(t); err != io.EOF {
		t.Errorf("ended with %v", err)
	}
	g, far = connect(t, &l, nil)
	if err := errors.Join(far.SetLinger(0), far.Close()); err != nil { // a reset
		t.Fatal(err)
	}
	if err := g.wait(t); err == nil || err == io.EOF {
		t.Errorf("ended with %v", err)
	}
	if _, err := farOther.Write([]byte("still there")); err != nil {
		t.Fatal(err)
	}
	_ = farOther.Close()
	if err := other.wait(t); err != io.EOF || string(other.got) != "still there" {
		t.Errorf("%q, %v", other.got, err)
	}
	l.Wait()
}

func TestOnlyTCP(t *testing.T) {
	near, far := net.Pipe()
	defer func() { _, _ = near.Close(), far.Close() }()
	var l Loop
	if l.Add(near, nil) {
		t.Error("a pipe was accepted")
	}
	l.Wait()
}
