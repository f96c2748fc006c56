//go:build linux

package eventloop

import (
	"io"
	"testing"
	"time"
)

// slowReader takes some time for whatever comes, and watches how long it is left
// alone after that.
type slowReader struct {
	*recordingReader
	end   time.Time     // of the last call
	took  time.Duration // by it
	calls int
	t     *testing.T
}

func (s *slowReader) Data(p []byte) error {
	began := time.Now()
	if s.calls > 0 {
		if least, rest := min(restFactor*s.took, maxRest), began.Sub(s.end); rest < least {
			s.t.Errorf("after %v of work the loop rested for %v", s.took, rest)
		}
	}
	s.calls++
	time.Sleep(2 * time.Millisecond)
	s.end = time.Now()
	s.took = s.end.Sub(began)
	return s.recordingReader.Data(p)
}

// A loop whose readers refuse most of what comes leaves most of the time to others,
// and loses nothing.
func TestSheddingLoopRests(t *testing.T) {
	const pieces = 20
	l := &Loop{Shedding: func() bool { return true }}
	near, distant := pair(t)
	s := &slowReader{recordingReader: &recordingReader{conn: near, ended: make(chan error, 1)}, t: t}
	if !l.Add(near, s) {
		t.Fatal("the loop does not read a TCP connection")
	}
	sent := 0
	for range pieces * readBuffer / 1024 {
		n, err := distant.Write(make([]byte, 1024))
		if sent += n; err != nil {
			t.Fatal(err)
		}
	}
	_ = distant.Close()
	if err := s.wait(t); err != io.EOF {
		t.Errorf("ended with %v", err)
	}
	l.Wait()
	if len(s.got) != sent || s.calls < pieces {
		t.Errorf("%d of %d bytes came, in %d pieces", len(s.got), sent, s.calls)
	}
}
