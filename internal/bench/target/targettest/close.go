package targettest

import (
	"bytes"
	"runtime"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/bench/target"
)

// TestClose checks that nothing of a connection runs any more when Close, or
// Disconnect, has returned: Ended has returned as well.
func TestClose(t *testing.T, system target.Target) {
	t.Helper()
	site, err := system.Prepare(t.Context(), Pairs("close", 2))
	if err != nil {
		t.Fatal(err)
	}
	ends := map[string]func(target.Conn){"Close": target.Conn.Close}
	if _, ok := site.(target.Reconnecter); ok {
		ends["Disconnect"] = func(c target.Conn) { c.(target.Disconnecter).Disconnect() }
	}
	for name, end := range ends {
		l := &slowListener{}
		c, err := site.Connect(t.Context(), 0, l)
		if err != nil {
			t.Fatal(err)
		}
		end(c)
		if !l.ended {
			t.Errorf("%s returned before Ended did", name)
		} else if l.err != nil {
			t.Errorf("Ended was called with %v", l.err)
		}
	}
	if w, ok := site.(target.Waiter); ok {
		w.Wait()
	}
}

// slowListener takes its time to learn of the end. Nothing but the contract
// orders its fields.
type slowListener struct {
	ended bool
	err   error
}

func (*slowListener) Answered(int, target.Answer) {}

func (*slowListener) Received(int, int64, []byte) {}

func (l *slowListener) Ended(err error) {
	time.Sleep(50 * time.Millisecond)
	l.ended, l.err = true, err
}

// Running returns how many goroutines are in a function, such as
// ejabberd.(*conn), or in what that called.
func Running(function string) (count int) {
	buf := make([]byte, 1<<20)
	for n := runtime.Stack(buf, true); ; n = runtime.Stack(buf, true) {
		if n < len(buf) {
			buf = buf[:n]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	for stack := range bytes.SplitSeq(buf, []byte("\n\n")) {
		// The line of whoever created a goroutine is no function that it is in.
		in, _, _ := bytes.Cut(stack, []byte("\ncreated by "))
		if bytes.Contains(in, []byte(function)) {
			count++
		}
	}
	return count
}
