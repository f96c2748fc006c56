package protocol_test

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
)

// faultyProxy is a path to a server that breaks: it cuts connections, and loses
// pushed frames as a gateway does whose bus lost them, which says resync soon
// after. Requests of the REST API pass untouched.
type faultyProxy struct {
	url    string
	server string // address
	faulty atomic.Bool
	opened atomic.Int64 // sockets
	cuts   atomic.Int64
	lost   atomic.Int64

	running sync.WaitGroup
	mu      sync.Mutex
	rand    *rand.Rand
	open    map[net.Conn]bool
	closed  bool
}

func startProxy(t *testing.T, server string) *faultyProxy {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &faultyProxy{url: "http://" + l.Addr().String(), server: server, rand: rand.New(rand.NewPCG(1, 2)), open: map[net.Conn]bool{}}
	p.faulty.Store(true)
	p.running.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			p.running.Go(func() { p.serve(client) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.mu.Lock()
		p.closed = true
		for c := range p.open {
			_ = c.Close()
		}
		p.mu.Unlock()
		p.running.Wait()
	})
	return p
}

// intN is a number at random.
func (p *faultyProxy) intN(n int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rand.IntN(n)
}

// keep registers a connection, which the end of the test closes.
func (p *faultyProxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open[c] = true
	return !p.closed
}

func (p *faultyProxy) drop(c net.Conn) {
	_ = c.Close()
	p.mu.Lock()
	delete(p.open, c)
	p.mu.Unlock()
}

func (p *faultyProxy) serve(client net.Conn) {
	defer p.drop(client)
	server, err := net.Dial("tcp", p.server) //nolint:noctx // the end of the test closes it
	if err != nil {
		return
	}
	defer p.drop(server)
	if !p.keep(client) || !p.keep(server) {
		return
	}
	p.running.Go(func() {
		_, _ = io.Copy(server, client)
		_ = server.Close()
	})
	r := bufio.NewReader(server)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		return
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		resp.Close = true
		_ = resp.Write(client)
		_ = resp.Body.Close()
		return
	}
	p.opened.Add(1)
	if resp.Write(client) == nil {
		p.relay(client, r)
	}
}

// relay passes the server's frames, but for those that it loses, until it cuts the
// connection.
func (p *faultyProxy) relay(client io.Writer, server *bufio.Reader) {
	left, owed := 5+p.intN(120), false // frames until the cut; whether resync is due
	for ; ; left-- {
		frame, payload, err := readFrame(server)
		if err != nil {
			return
		}
		var head struct{ T string }
		_ = json.Unmarshal(payload, &head) // a close frame is no JSON
		pushed := false
		switch head.T {
		case "message", "edited", "deleted", "conversation", "removed":
			pushed = true
		}
		if p.faulty.Load() {
			if left <= 0 {
				p.cuts.Add(1)
				_, _ = client.Write(frame[:p.intN(len(frame))]) // in the middle of it
				return
			}
			if pushed && p.intN(12) == 0 {
				p.lost.Add(1)
				owed = true
				continue
			}
		}
		if owed && (!pushed || p.intN(3) == 0) {
			owed = false
			if _, err := client.Write(textFrame(`{"t":"resync"}`)); err != nil {
				return
			}
		}
		if _, err := client.Write(frame); err != nil {
			return
		}
	}
}

// readFrame reads a WebSocket frame of a server.
func readFrame(r *bufio.Reader) (frame, payload []byte, err error) {
	frame = make([]byte, 2, 10)
	if _, err = io.ReadFull(r, frame); err != nil {
		return nil, nil, err
	}
	size := uint64(frame[1] & 0x7F)
	extended := map[uint64]int{126: 2, 127: 8}[size]
	frame = frame[:2+extended]
	if _, err = io.ReadFull(r, frame[2:]); err != nil {
		return nil, nil, err
	}
	switch extended {
	case 2:
		size = uint64(binary.BigEndian.Uint16(frame[2:]))
	case 8:
		size = binary.BigEndian.Uint64(frame[2:])
	}
	payload = make([]byte, size)
	if _, err = io.ReadFull(r, payload); err != nil {
		return nil, nil, err
	}
	return append(frame, payload...), payload, nil
}

// textFrame is a short text message of a server.
func textFrame(text string) []byte { return append([]byte{0x81, byte(len(text))}, text...) }
