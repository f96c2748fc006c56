package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/gobwas/ws"

	"github.com/hikyaku-chat/hikyaku/internal/eventloop"
	"github.com/hikyaku-chat/hikyaku/internal/rawtcp"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
	"github.com/hikyaku-chat/hikyaku/internal/wsframe"
)

// Dialer configures how sockets are opened. Its zero value is what an ordinary
// device uses.
type Dialer struct {
	// Gateway is the address of a gateway, such as http://127.0.0.1:8081, to
	// connect to instead of the installation's.
	Gateway string
	// Source is the local address to connect from: one address has some 28,000
	// ports toward one server address. On Linux the port is chosen when the
	// socket connects, so that sockets to different servers can share it.
	Source netip.Addr
	// Loop reads the socket together with others, which costs less than a
	// goroutine for each. Then neither onFrame nor OnEnd may block.
	Loop *eventloop.Loop
	// TolerateSilence waits for a silent server as long as hello says that the
	// server waits for a silent client, instead of for a few heartbeats. It is
	// for load tools, which must not mistake a late server for one that is
	// gone.
	TolerateSilence bool
	// OnEnd is called when the socket has ended, after the last frame and
	// before Done is closed, with the error that Err returns. It must not call
	// Close.
	OnEnd func(error)
}

// dialTimeout bounds a dial whose context has no deadline.
const dialTimeout = 10 * time.Second

// Dial opens a socket. onFrame, unless it is nil, is called for each frame after
// hello, in order and never concurrently; it may be called before Dial returns.
// The socket sends heartbeats itself, with the interval that the server asks for.
func (c *Client) Dial(ctx context.Context, onFrame func(Frame)) (*Socket, error) {
	return Dialer{}.Dial(ctx, c, onFrame)
}

// Dial opens a socket for an account, see [Client.Dial].
func (d Dialer) Dial(ctx context.Context, c *Client, onFrame func(Frame)) (*Socket, error) {
	u := *c.base
	if d.Gateway != "" {
		gateway, err := parseBase(d.Gateway)
		if err != nil {
			return nil, err
		}
		u = *gateway
	}
	s := &Socket{onFrame: onFrame, onEnd: d.OnEnd, done: make(chan struct{})}
	if err := d.open(ctx, &u, c.token, s); err != nil {
		return nil, fmt.Errorf("open a socket to %s: %w", u.Host, err)
	}
	s.startHeartbeats(d.TolerateSilence)
	if d.Loop != nil {
		// Nobody else reads yet, so the loop's part can be played here.
		if err := s.feed(nil); err != nil {
			s.finish(err)
			return s, nil
		}
		if d.Loop.Add(s.conn, (*reader)(s)) {
			return s, nil
		}
	}
	s.running.Go(s.read)
	return s, nil
}

// open connects and reads hello.
func (d Dialer) open(ctx context.Context, u *url.URL, token string, s *Socket) error {
	u.Scheme = "ws" + u.Scheme[len("http"):]
	u.Path += "/api/v1/socket"
	dialer := ws.Dialer{
		Protocols: []string{wire.Subprotocol},
		Header:    ws.HandshakeHeaderHTTP(http.Header{"Authorization": {"Bearer " + token}}),
	}
	if d.Source.IsValid() {
		dialer.NetDial = dialerFrom(d.Source).DialContext
	}
	conn, buffered, hs, err := dialer.Dial(ctx, u.String())
	if err != nil {
		return err
	}
	var early []byte
	if buffered != nil {
		p, _ := buffered.Peek(buffered.Buffered())
		early = append(early, p...)
		ws.PutReader(buffered)
	}
	if s.conn = rawtcp.New(conn); hs.Protocol != wire.Subprotocol {
		err = errors.New("the server does not speak " + wire.Subprotocol)
	} else {
		deadline, ok := ctx.Deadline()
		if !ok {
			deadline = time.Now().Add(dialTimeout)
		}
		_ = conn.SetReadDeadline(deadline)
		err = s.readHello(early)
	}
	if err != nil {
		err = errors.Join(err, conn.Close())
		s.running.Wait()
		return err
	}
	return conn.SetReadDeadline(time.Time{})
}

// dialerFrom returns a dialer of TCP connections from a local address.
func dialerFrom(source netip.Addr) *net.Dialer {
	return &net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(source, 0)), Control: bindWithoutPort}
}

// readHello reads hello. The bytes after it stay with the parser.
func (s *Socket) readHello(data []byte) error {
	var buf [1024]byte
	for {
		err := s.parser.Feed(data, wsframe.FromServer, maxServerMessage, s.handleHello)
		if err != nil || s.Hello.T != "" {
			return err
		}
		n, err := s.conn.Read(buf[:])
		if err != nil {
			return err
		}
		data = buf[:n]
	}
}

// handleHello handles what comes up to hello.
func (s *Socket) handleHello(op wsframe.Opcode, payload []byte) error {
	if op != wsframe.Text {
		return s.handleControl(op, payload)
	}
	if err := json.Unmarshal(payload, &s.Hello); err != nil {
		return err
	}
	if s.Hello.T != "hello" {
		return fmt.Errorf("the first frame is %q, not hello", s.Hello.T)
	}
	return wsframe.ErrPause
}
