package websocket

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/gobwas/ws"
)

// A broadcast is to each connection what a Send is: in its place among what was sent
// before and after, also while others are ended, and whoever does not read is ended.
func TestBroadcastKeepsItsPlace(t *testing.T) {
	const readers, rounds = 3 * broadcastChunk / 2, 4
	f := serve(t, Config{MaxQueued: 1 << 20})
	var peers []*peer
	var conns []*Conn
	open := func(path string) (*peer, *Conn) {
		p := dial(t, f, path)
		return p, <-f.conns
	}
	for range readers {
		p, c := open("/silent")
		peers, conns = append(peers, p), append(conns, c)
	}
	_, closed := open("/silent")
	closed.Close(1000, "")
	_, slow := open("/silent") // never reads
	everybody := slices.Concat([]*Conn{closed, slow}, conns)
	filler := bytes.Repeat([]byte("x"), 10<<10)
	for round := range rounds {
		for _, c := range conns {
			c.Send(NewFrame(fmt.Appendf(nil, "before %d", round)))
		}
		Broadcast(everybody, NewFrame(fmt.Appendf(nil, "all %d %s", round, filler)))
		for _, c := range conns {
			c.Send(NewFrame(fmt.Appendf(nil, "after %d", round)))
		}
		for i, p := range peers {
			for _, want := range []string{fmt.Sprintf("before %d", round), fmt.Sprintf("all %d %s", round, filler), fmt.Sprintf("after %d", round)} {
				if op, got := p.read(); op != ws.OpText || got != want {
					t.Fatalf("reader %d got %v %.30q, not %.30q", i, op, got, want)
				}
			}
		}
	}
	Broadcast(nil, NewFrame([]byte("nobody")))
	for ended := false; !ended; ended = slow.isClosing() {
		Broadcast([]*Conn{slow}, NewFrame(bytes.Repeat(filler, 10)))
	}
	slow.mu.Lock()
	defer slow.mu.Unlock()
	if slow.reason != errSlow {
		t.Errorf("who does not read was ended by %v", slow.reason)
	}
}
