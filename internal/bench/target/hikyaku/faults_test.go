package hikyaku_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/hikyaku-chat/hikyaku/internal/batching"
	"github.com/hikyaku-chat/hikyaku/internal/bench/nullserver"
	"github.com/hikyaku-chat/hikyaku/internal/bench/target"
	"github.com/hikyaku-chat/hikyaku/internal/bench/target/hikyaku"
	"github.com/hikyaku-chat/hikyaku/internal/bench/target/targettest"
)

// timeout bounds every wait. Only a fault takes that long.
const timeout = time.Minute

// fastHeartbeat is a heartbeat for tests in which checks find something.
const fastHeartbeat = 100 * time.Millisecond

// listener records what a user receives.
type listener struct {
	mu       sync.Mutex
	received map[int][]int64 // seqs, by conversation
	more     batching.Signal
}

func (e *listener) Answered(int, target.Answer) {}

func (e *listener) Ended(error) {}

func (e *listener) Received(room int, seq int64, _ []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.received == nil {
		e.received = map[int][]int64{}
	}
	e.received[room] = append(e.received[room], seq)
	e.more.Notify()
}

func (e *listener) in(room int) []int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.received[room])
}

// wait waits until so many messages of a conversation came.
func (e *listener) wait(t *testing.T, room, count int) {
	t.Helper()
	for late := time.After(timeout); len(e.in(room)) < count; {
		select {
		case <-e.more:
		case <-late:
			t.Fatalf("of conversation %d, this alone came: %v", room, e.in(room))
		}
	}
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestClose(t *testing.T) {
	server := startServer(t, time.Hour, nil)
	system, err := hikyaku.New(server.URL(), hikyaku.Options{SetupToken: setupToken})
	if err != nil {
		t.Fatal(err)
	}
	targettest.TestClose(t, system)
}

func startServer(t *testing.T, heartbeat time.Duration, faults *nullserver.Faults) *nullserver.Server {
	t.Helper()
	server, err := nullserver.StartFaulty(t.Context(), "127.0.0.1:0", heartbeat, faults)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return server
}

// fixture is four users on a faulty server; 0 and 1 have a conversation, and so
// have 2 and 3.
type fixture struct {
	site      target.Site
	listeners [4]*listener
	conns     [4]target.Conn
	sent      int
}

func newFixture(t *testing.T, heartbeat time.Duration, faults *nullserver.Faults) *fixture {
	t.Helper()
	server := startServer(t, heartbeat, faults)
	system, err := hikyaku.New(server.URL(), hikyaku.Options{SetupToken: setupToken})
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{}
	if f.site, err = system.Prepare(t.Context(), target.Plan{Run: "faults", Users: 4, Rooms: [][]int{{0, 1}, {2, 3}}}); err != nil {
		t.Fatal(err)
	}
	for i := range f.conns {
		f.listeners[i] = &listener{more: batching.NewSignal()}
		if f.conns[i], err = f.site.Connect(t.Context(), i, f.listeners[i]); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		for _, c := range f.conns {
			if c != nil {
				c.Close()
			}
		}
		f.site.(target.Waiter).Wait()
	})
	return f
}

// send sends more messages from user 0.
func (f *fixture) send(t *testing.T, count int) {
	t.Helper()
	for range count {
		f.sent++
		if err := f.conns[0].Send(0, f.sent, fmt.Appendf(nil, "0.%d ", f.sent)); err != nil {
			t.Fatal(err)
		}
	}
}

func (f *fixture) repaired() int64 { return f.site.(target.Repairer).Repaired() }

// reconnect connects user 1 again.
func (f *fixture) reconnect(ctx context.Context) (err error) {
	f.conns[1], err = f.site.(target.Reconnecter).Reconnect(ctx, 1, f.listeners[1])
	return err
}

func (f *fixture) disconnect() {
	f.conns[1].(target.Disconnecter).Disconnect()
	f.conns[1] = nil
}

func one(which int) func(int) bool { return func(n int) bool { return n == which } }

// Faults of a server are repaired, and reported.
func TestServerFaultsAreReported(t *testing.T) {
	whole := []int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	for name, c := range map[string]struct {
		faults   nullserver.Faults
		heard    []int64
		repaired int64 // at least, of either; 0 for exactly none
		leaked   []int64
	}{
		"nothing": {heard: whole},
		"lost":    {faults: nullserver.Faults{Lose: one(4)}, heard: whole, repaired: 1},
		"the last one lost": {
			faults: nullserver.Faults{Lose: one(10)}, heard: whole, repaired: 1,
		},
		"swapped": {faults: nullserver.Faults{Reorder: one(4)}, heard: whole, repaired: 1},
		"doubled": {faults: nullserver.Faults{Duplicate: one(4)}, heard: []int64{1, 2, 3, 4, 4, 5, 6, 7, 8, 9, 10}},
		"doubled before its turn": {
			faults: nullserver.Faults{Lose: one(3), Duplicate: one(4)}, heard: []int64{1, 2, 3, 4, 4, 5, 6, 7, 8, 9, 10}, repaired: 1,
		},
		"leaked":          {faults: nullserver.Faults{Leak: one(4)}, heard: whole, leaked: []int64{4}},
		"a refused sync":  {faults: nullserver.Faults{Lose: one(4), Refuse: one(5)}, heard: whole, repaired: 1},
		"an ignored sync": {faults: nullserver.Faults{Lose: one(4), Ignore: one(5)}, heard: whole, repaired: 1},
		"a limited sync":  {faults: nullserver.Faults{Lose: one(4), Limit: one(5)}, heard: whole, repaired: 1},
		"a limited list":  {faults: nullserver.Faults{Limit: one(2)}, heard: whole},
		"a refused list":  {faults: nullserver.Faults{Refuse: one(2)}, heard: whole},
		"an ignored list": {faults: nullserver.Faults{Ignore: one(2)}, heard: whole},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			heartbeat := fastHeartbeat
			if c.faults.Refuse != nil || c.faults.Limit != nil {
				heartbeat = 2 * timeout // which mends nothing
			}
			f := newFixture(t, heartbeat, &c.faults)
			f.send(t, len(whole))
			for i := range 2 {
				f.listeners[i].wait(t, 0, len(c.heard))
				if heard := f.listeners[i].in(0); !slices.Equal(sorted(heard), c.heard) {
					t.Errorf("user %d received %v", i, heard)
				}
			}
			if n := f.repaired(); n < 2*c.repaired || c.repaired == 0 && n > 0 {
				t.Errorf("%d repaired", n)
			}
			for i := 2; i < 4; i++ {
				f.listeners[i].wait(t, 0, len(c.leaked))
				if leaked := f.listeners[i].in(0); !slices.Equal(leaked, c.leaked) {
					t.Errorf("user %d received %v of others", i, leaked)
				}
			}
		})
	}
}

func sorted(all []int64) []int64 {
	slices.Sort(all)
	return all
}

// A repair, or a return, does not hide what is doubled afterwards; and what was
// missed while one was away is no repair.
func TestDuplicatesAfterRepair(t *testing.T) {
	f := newFixture(t, fastHeartbeat, &nullserver.Faults{Lose: one(2), Duplicate: func(seq int) bool { return seq == 7 || seq == 14 }})
	f.send(t, 5)
	f.listeners[1].wait(t, 0, 5)
	f.listeners[0].wait(t, 0, 5)
	f.send(t, 3)
	f.listeners[0].wait(t, 0, 9)
	f.listeners[1].wait(t, 0, 9)
	if heard := f.listeners[1].in(0); !slices.Equal(heard, []int64{1, 2, 3, 4, 5, 6, 7, 7, 8}) {
		t.Errorf("%v", heard)
	}
	repaired := f.repaired()
	f.disconnect()
	f.send(t, 4)
	f.listeners[0].wait(t, 0, 13)
	if err := f.reconnect(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.send(t, 3)
	f.listeners[1].wait(t, 0, 17)
	if heard := f.listeners[1].in(0)[9:]; !slices.Equal(heard, []int64{9, 10, 11, 12, 13, 14, 14, 15}) {
		t.Errorf("%v after the return", heard)
	}
	if f.repaired() != repaired {
		t.Errorf("%d repaired, and %d before the return", f.repaired(), repaired)
	}
}

// Who is lost again before what they missed has come still has it the next
// time, though the list of what changed does not name it any more.
func TestDisconnectedWhileReconnecting(t *testing.T) {
	var deaf atomic.Bool
	ignored := make(chan struct{}, 1)
	f := newFixture(t, fastHeartbeat, &nullserver.Faults{Ignore: func(n int) bool {
		if n != 6 || !deaf.Load() { // 5 is the list of the return
			return false
		}
		ignored <- struct{}{}
		return true
	}})
	f.disconnect()
	f.send(t, 3)
	f.listeners[0].wait(t, 0, 3)
	deaf.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-ignored
		cancel()
	}()
	if err := f.reconnect(ctx); err == nil {
		t.Fatal("came back without what was missed")
	}
	f.conns[1] = nil
	again, stop := context.WithTimeout(t.Context(), timeout)
	defer stop()
	if err := f.reconnect(again); err != nil {
		t.Fatal(err)
	}
	if heard := f.listeners[1].in(0); !slices.Equal(heard, []int64{1, 2, 3}) || f.repaired() != 0 {
		t.Errorf("%v, %d repaired", heard, f.repaired())
	}
}
