package websocket

import (
	"fmt"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/hikyaku-chat/hikyaku/internal/eventually"
	"github.com/hikyaku-chat/hikyaku/internal/linger"
)

// busy returns a linger as of a server on which much goes on. What is read from the
// connections of a portable server is not counted, so it stays so.
func busy() Config {
	l, now := linger.New(linger.Max), time.Now()
	l.Count(0, now.Add(-time.Second))
	l.Count(1_000_000, now)
	return Config{Portable: true, Linger: l}
}

// What may wait is written with what is sent after it, and by itself when nothing is.
func TestSendSoon(t *testing.T) {
	f := serve(t, busy())
	p := dial(t, f, "/silent")
	c := <-f.conns
	// Unless a departure comes in between, which is not so each time.
	eventually.True(t, "a frame waits", func() bool {
		c.SendSoon(NewFrame([]byte("alone")))
		waits := waiting(c) == 1
		p.expect(ws.OpText, "alone")
		return waits
	})
	eventually.True(t, "three frames are written together", func() bool {
		before, _ := f.server.Writes()
		c.SendSoon(NewFrame([]byte("1")))
		c.SendSoon(NewFrame([]byte("2")))
		wait := waiting(c) == 2
		c.Send(NewFrame([]byte("3")))
		for i := range 3 {
			p.expect(ws.OpText, fmt.Sprint(i+1))
		}
		after, _ := f.server.Writes()
		return wait && after == before+1
	})
}

// waiting returns how many frames wait for company on a connection.
func waiting(c *Conn) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.writing {
		return 0
	}
	return len(c.queue)
}

func TestSendSoonKeepsOrder(t *testing.T) {
	f := serve(t, busy())
	p := dial(t, f, "/silent")
	c := <-f.conns
	const frames = 3000
	go func() {
		for i := range frames {
			frame := NewFrame(fmt.Append(nil, i))
			if i%7 == 0 {
				c.Send(frame)
			} else {
				c.SendSoon(frame)
			}
			if i%100 == 0 {
				time.Sleep(time.Millisecond) // so that queues get empty
			}
		}
	}()
	for i := range frames {
		p.expect(ws.OpText, fmt.Sprint(i))
	}
}

// What waits for company goes before a close frame, and is in the bound of the queue.
func TestSendSoonAndTheEnd(t *testing.T) {
	cfg := busy()
	cfg.MaxQueued = 100
	f := serve(t, cfg)
	p := dial(t, f, "/silent")
	c := <-f.conns
	c.SendSoon(NewFrame([]byte("last words")))
	c.Close(1001, "")
	if c.SendSoon(NewFrame([]byte("too late"))) {
		t.Error("a frame is taken after the end")
	}
	p.expect(ws.OpText, "last words")
	p.expectClose(1001)

	<-f.handler
	dial(t, f, "/silent")
	c = <-f.conns
	e := <-f.handler
	for c.SendSoon(NewFrame(make([]byte, 30))) { // faster than a departure, or not: the peer reads nothing
		if c.Queued() > cfg.MaxQueued {
			t.Fatalf("%d bytes are queued", c.Queued())
		}
		time.Sleep(time.Microsecond)
	}
	if err := e.waitClosed(t); err != errSlow {
		t.Errorf("ended by %v", err)
	}
}
