package websocket

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hikyaku-chat/hikyaku/internal/eventually"
)

// detached returns a detached connection, the one that it was before, and its peer.
func detached(t *testing.T) (d *descriptor, before, peer net.Conn) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if peer, err = new(net.Dialer).DialContext(t.Context(), "tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = peer.Close() })
	if before, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	conn, raw := detach(before, rawOf(before))
	d, ok := conn.(*descriptor)
	if !ok || raw != (*rawDescriptor)(d) {
		t.Fatalf("detached as %T, %T", conn, raw)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d, before, peer
}

// A detached connection goes on, though package net has closed it: that is what gives
// its memory back.
func TestDetach(t *testing.T) {
	d, before, peer := detached(t)
	if _, err := before.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("package net still has the connection: %v", err)
	}
	if d.waiter != nil {
		t.Error("the poller knows it though nobody waits")
	}
	err := (*rawDescriptor)(d).Write(func(fd uintptr) bool {
		if n, err := unix.Write(int(fd), []byte("hello")); n != 5 || err != nil {
			t.Errorf("wrote %d, %v", n, err)
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 5)
	if _, err := io.ReadFull(peer, got); err != nil || string(got) != "hello" {
		t.Errorf("the peer read %q, %v", got, err)
	}
	err = (*rawDescriptor)(d).Read(func(fd uintptr) bool {
		if _, err := unix.Read(int(fd), got); err != unix.EAGAIN {
			t.Errorf("reading nothing: %v; it must not block", err)
		}
		return false
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := peer.Read(got); err != io.EOF {
		t.Errorf("after the end the peer read %v", err)
	}
}

// What is no TCP connection stays as it is.
func TestDetachOthers(t *testing.T) {
	near, far := net.Pipe()
	defer func() { _, _ = near.Close(), far.Close() }()
	if conn, raw := detach(near, rawOf(near)); conn != near || raw != nil {
		t.Errorf("a pipe became %T, %T", conn, raw)
	}
}

// A writer waits for a slow peer, until its deadline. When it no longer waits, the
// poller forgets the connection again.
func TestDetachedWriteWaits(t *testing.T) {
	d, _, peer := detached(t)
	large := bytes.Repeat([]byte("0123456789"), 2<<20)
	if err := d.SetWriteDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	written, err := d.Write(large)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("wrote %d bytes to nobody, %v", written, err)
	}
	if err := d.SetWriteDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	var reading sync.WaitGroup
	reading.Go(func() {
		got, err := io.ReadAll(peer)
		if err != nil || !bytes.Equal(got, large) {
			t.Errorf("the peer read %d bytes of %d, %v", len(got), len(large), err)
		}
	})
	if n, err := d.Write(large[written:]); n != len(large)-written || err != nil {
		t.Errorf("wrote %d of the rest, %v", n, err)
	}
	if err := d.SetWriteDeadline(time.Time{}); err != nil || d.waiter != nil {
		t.Errorf("the poller still knows it (%v)", err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	reading.Wait()
}

// A goroutine reads a connection that an event loop cannot. Writers that come and go
// do not end its wait.
func TestDetachedRead(t *testing.T) {
	d, _, peer := detached(t)
	got := make(chan string)
	var reading sync.WaitGroup
	reading.Go(func() {
		defer close(got)
		buf := make([]byte, 16)
		for {
			n, err := d.Read(buf)
			if err != nil {
				if err != io.EOF {
					t.Errorf("read: %v", err)
				}
				return
			}
			got <- string(buf[:n])
		}
	})
	eventually.True(t, "somebody reads", func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.waiter != nil
	})
	if err := errors.Join(d.SetWriteDeadline(time.Now().Add(time.Minute)), d.SetWriteDeadline(time.Time{})); err != nil {
		t.Fatal(err)
	}
	if _, err := peer.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if text := <-got; text != "hello" {
		t.Errorf("read %q", text)
	}
	_ = peer.Close()
	reading.Wait()
}

// Nobody uses a descriptor that was closed and may be another connection's by now.
func TestDetachedEnds(t *testing.T) {
	d, _, _ := detached(t)
	var using sync.WaitGroup
	blocked := make(chan struct{})
	using.Go(func() {
		_ = d.SetWriteDeadline(time.Now().Add(time.Minute))
		close(blocked)
		if _, err := d.Write(make([]byte, 64<<20)); err == nil {
			t.Error("64 MB were written to nobody")
		}
	})
	<-blocked
	using.Go(func() {
		for {
			err := (*rawDescriptor)(d).Write(func(fd uintptr) bool {
				if _, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TYPE); err != nil {
					t.Errorf("a closed descriptor is used: %v", err)
				}
				return true
			})
			if err != nil {
				return
			}
		}
	})
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	using.Wait()
	raw := (*rawDescriptor)(d)
	for what, err := range map[string]error{
		"control": raw.Control(func(uintptr) { t.Error("control of a closed descriptor") }),
		"read":    raw.Read(func(uintptr) bool { t.Error("read of a closed descriptor"); return true }),
		"write":   raw.Write(func(uintptr) bool { t.Error("write to a closed descriptor"); return true }),
		"close":   d.Close(),
	} {
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := d.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("read: %v", err)
	}
}
