package rawtcp_test

import (
	"errors"
	"io"
	"net"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/net/nettest"

	"github.com/hikyaku-chat/hikyaku/internal/rawtcp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair returns both ends of a TCP connection.
func pair() (client, server net.Conn, err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // at once
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = listener.Close() }()
	if client, err = net.Dial("tcp", listener.Addr().String()); err != nil { //nolint:noctx // at once
		return nil, nil, err
	}
	if server, err = listener.Accept(); err != nil {
		return nil, nil, errors.Join(err, client.Close())
	}
	return client, server, nil
}

// A connection behaves as all connections do: order, large writes, deadlines, closing
// beside reads and writes.
func TestConn(t *testing.T) {
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		client, server, err := pair()
		if err != nil {
			return nil, nil, nil, err
		}
		c1, c2 = rawtcp.New(client), rawtcp.New(server)
		return c1, c2, func() { _, _ = c1.Close(), c2.Close() }, nil
	})
}

func TestEnds(t *testing.T) {
	client, server, err := pair()
	if err != nil {
		t.Fatal(err)
	}
	c := rawtcp.New(client)
	defer func() { _ = c.Close() }()
	if n, err := c.Write(nil); n != 0 || err != nil {
		t.Errorf("writing nothing: %d, %v", n, err)
	}
	if n, err := c.Read(nil); n != 0 || err != nil {
		t.Errorf("reading nothing: %d, %v", n, err)
	}
	half, ok := c.(interface{ CloseWrite() error })
	if !ok {
		t.Fatal("it cannot be closed for writing alone")
	}
	if err := half.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if n, err := server.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("the other end reads %d, %v", n, err)
	}
	var op *net.OpError
	if _, err := c.Write([]byte("x")); !errors.As(err, &op) || op.Op != "write" {
		t.Errorf("writing after the end: %v", err)
	}
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("reading at the end: %d, %v", n, err)
	}
}

// What is no TCP connection stays as it is.
func TestOthersStay(t *testing.T) {
	c, other := net.Pipe()
	defer func() { _, _ = c.Close(), other.Close() }()
	if rawtcp.New(c) != c {
		t.Error("a pipe is another connection")
	}
}
