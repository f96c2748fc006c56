package gateway

import (
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws/wsutil"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/cursor"
	"github.com/hikyaku-chat/hikyaku/internal/eventually"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// Heartbeats come further apart while a client is quiet, and soon again after it
// sent something or the bus was interrupted.
func TestHeartbeatInterval(t *testing.T) {
	g := newTestGateway(t, &stubStore{}, nil)
	s := newTestSession(t, g, 1)
	now := time.Now().UnixMilli()
	s.heartbeat.activeAt.Store(now)
	check := func(what string, later, want time.Duration) {
		t.Helper()
		for range 100 {
			before := s.heartbeat.interval.Load()
			got := g.heartbeats.next(s, now+later.Milliseconds())
			if got > want || got < want*4/5 {
				t.Fatalf("%s: in %v, not up to a fifth before %v", what, got, want)
			}
			if s.heartbeat.interval.Load() != before {
				return // the next one is another
			}
		}
	}
	check("active", 9*time.Second, 3*time.Second)
	check("quiet", 10*time.Second, 6*time.Second)
	check("quiet", 20*time.Second, 12*time.Second)
	check("quiet", 30*time.Second, 24*time.Second)
	check("quiet", 50*time.Second, 30*time.Second)
	check("quiet", time.Hour, 30*time.Second)
	g.interrupted.Store(true)
	check("without the bus", time.Hour, 3*time.Second)
	g.interrupted.Store(false)
	check("quiet again", time.Hour, 6*time.Second)
	s.heartbeat.active()
	now = time.Now().UnixMilli()
	check("active again", 0, 3*time.Second)
}

// readFrame reads a frame from the server.
func readFrame(t *testing.T, conn net.Conn) string {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(eventually.Timeout))
	text, err := wsutil.ReadServerText(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A ping is answered while the store hangs; a device that lacks something is told
// so; one that could not be checked is checked with its next ping.
func TestChecks(t *testing.T) {
	asked, answers := make(chan []store.Device), make(chan error)
	var unchanged atomic.Bool
	st := &stubStore{hasChanged: func(all []store.Device) ([]bool, error) {
		asked <- all
		return []bool{!unchanged.Load()}, <-answers
	}}
	g := newTestGateway(t, st, nil)
	g.deps.Cursors = cursor.NewSealer([]byte("secret"))
	g.background.Go(g.heartbeats.run)
	s, conn := connectTestSession(t, g, 5)
	g.heartbeats.start(s)
	ping := func(text string) {
		t.Helper()
		s.heartbeat.pingedAt.Store(0)
		g.heartbeats.answer(s, &wire.Ping{T: "ping", Cursor: text})
		if got := readFrame(t, conn); got[:11] != `{"t":"pong"` {
			t.Fatalf("%s", got)
		}
	}
	idle := func() {
		t.Helper()
		eventually.True(t, "the check is over", func() bool { return !s.heartbeat.checking.Load() })
	}
	at := g.deps.Cursors.Seal(syncPurpose, chat.UserID(5), store.Position("here"))
	s.heartbeat.checkAt.Store(time.Now().Add(time.Hour).UnixMilli())
	ping(at) // is not checked yet
	s.heartbeat.checkAt.Store(0)
	ping("")
	ping(at)
	if all := <-asked; len(all) != 1 || all[0] != (store.Device{User: 5, After: "here"}) {
		t.Errorf("%+v", all)
	}
	ping(at) // while the store hangs
	answers <- errors.New("the database is away")
	eventually.True(t, "it is to be checked again", func() bool { return s.heartbeat.checkAt.Load() == 0 })
	idle()
	ping("of another installation")
	if all := <-asked; all[0].After != "" {
		t.Errorf("%+v", all)
	}
	answers <- nil
	if got := readFrame(t, conn); got != `{"t":"resync"}` {
		t.Errorf("%s", got)
	}
	g.interrupted.Store(true) // then every ping is checked
	idle()
	ping(at)
	<-asked
	answers <- nil
	if got := readFrame(t, conn); got != `{"t":"resync","lost":true}` {
		t.Errorf("%s", got)
	}
	unchanged.Store(true)
	for range 2 {
		idle()
		ping(at)
		<-asked
		answers <- nil
	}
}

// While the store hangs, a device waits for one check, however often it pings.
func TestOneCheckWaits(t *testing.T) {
	asked, answers := make(chan int, 100), make(chan error)
	defer close(answers)
	st := &stubStore{hasChanged: func(all []store.Device) ([]bool, error) {
		asked <- len(all)
		return make([]bool, len(all)), <-answers
	}}
	g := newTestGateway(t, st, nil)
	g.deps.Cursors = cursor.NewSealer([]byte("secret"))
	g.background.Go(g.heartbeats.run)
	s, conn := connectTestSession(t, g, 5)
	g.heartbeats.start(s)
	g.interrupted.Store(true) // every ping is checked
	ping := &wire.Ping{T: "ping", Cursor: g.deps.Cursors.Seal(syncPurpose, chat.UserID(5), store.Position("here"))}
	for _, err := range []error{errors.New("the database is away"), nil} {
		for range 10 {
			s.heartbeat.pingedAt.Store(0)
			g.heartbeats.answer(s, ping)
			readFrame(t, conn)
		}
		if n := <-asked; n != 1 {
			t.Errorf("%d checks of one device", n)
		}
		if n := g.heartbeats.queue.Len(); n != 0 {
			t.Errorf("%d checks wait beside the one that is under way", n)
		}
		answers <- err
		eventually.True(t, "the check is over", func() bool { return !s.heartbeat.checking.Load() })
	}
}
