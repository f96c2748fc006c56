package redisthrottle_test

import (
	"context"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/eventually"
	"github.com/hikyaku-chat/hikyaku/internal/stack"
	"github.com/hikyaku-chat/hikyaku/internal/stack/stacktest"
	"github.com/hikyaku-chat/hikyaku/internal/throttle"
	"github.com/hikyaku-chat/hikyaku/internal/throttle/redisthrottle"
)

// In these tests no token comes back.
const (
	perSecond = 0.001
	interval  = 1000 * time.Second
)

func takeAll(b *throttle.Bucket) (taken int) {
	for b.Take() == 0 {
		taken++
	}
	return taken
}

// testBuckets tests that the tokens of one process's buckets count in all
// processes, for both ways to take one, and that a debt is made up for.
func testBuckets(t *testing.T, url string) {
	const burst = 10
	log := failOnLog(t)
	var limiters [2]*redisthrottle.Limiter
	for i := range limiters {
		limiters[i] = newLimiter(t, redisthrottle.New(connect(t, url), log).WithLongTimeout(), t.Name(), perSecond, burst)
	}
	near, far := limiters[0], limiters[1]
	phone, laptop := near.Acquire("aki"), far.Acquire("aki")
	defer phone.Release()
	defer laptop.Release()
	for range 4 {
		if wait := phone.Take(); wait != 0 {
			t.Fatalf("a token of the first four waits %v", wait)
		}
	}
	near.Sync(t.Context())
	for range 3 {
		if wait := take(t, far, "aki"); wait != 0 {
			t.Fatalf("a token of the next three waits %v", wait)
		}
	}
	if n := takeAll(laptop); n != 3 { // the answers of Take told it of all
		t.Errorf("the other process has %d tokens left, want 3", n)
	}
	if n := takeAll(phone); n != 6 { // it has heard of nothing yet
		t.Errorf("this process has %d tokens left, want 6", n)
	}
	far.Sync(t.Context())
	near.Sync(t.Context())
	// Six too many were given, so the next one is seven intervals away.
	for name, wait := range map[string]time.Duration{
		"the socket's": phone.Take(), "through the API": take(t, far, "aki"), "through the API next to the socket": take(t, near, "aki"),
	} {
		if least := 6*interval + interval/2; wait < least || wait > 7*interval {
			t.Errorf("%s token waits %v, want up to %v", name, wait, 7*interval)
		}
	}
	if wait := take(t, far, "ben"); wait != 0 {
		t.Errorf("another key waits %v", wait)
	}
}

func TestBuckets(t *testing.T) { testBuckets(t, stacktest.Redis(t).URL()+"/5") }

func TestBucketsOnCluster(t *testing.T) { testBuckets(t, stacktest.RedisCluster(t).URL()) }

// Take includes the tokens of its own process that are not synchronised yet.
func TestTakeSyncsItsOwnProcess(t *testing.T) {
	l := newLimiter(t, redisthrottle.New(connect(t, stacktest.Redis(t).URL()+"/5"), failOnLog(t)).WithLongTimeout(), t.Name(), perSecond, 100)
	b := l.Acquire("aki")
	defer b.Release()
	for range 99 {
		if wait := b.Take(); wait != 0 {
			t.Fatal(wait)
		}
	}
	if wait := take(t, l, "aki"); wait != 0 {
		t.Errorf("the last token waits %v", wait)
	}
	if wait := take(t, l, "aki"); wait == 0 {
		t.Error("there is one token more than the limit allows")
	}
}

// A debt is bounded, and so is the time after which it is made up for.
func TestDebtIsBounded(t *testing.T) {
	url, log := stacktest.Redis(t).URL()+"/5", failOnLog(t)
	const burst, processes = 10, 20
	var last *redisthrottle.Limiter
	for range processes {
		last = newLimiter(t, redisthrottle.New(connect(t, url), log).WithLongTimeout(), t.Name(), perSecond, burst)
		b := last.Acquire("aki")
		takeAll(b)
		b.Release()
		last.Sync(t.Context())
	}
	if wait := take(t, last, "aki"); wait > 16*burst*interval || wait < 14*burst*interval {
		t.Errorf("the wait is %v, want 15 bursts, which is %v", wait, 15*burst*interval)
	}
}

// A bucket that is released is synchronised whatever it gave: reconnecting does not
// help against the limit.
func TestReleasedBucketsAreSynced(t *testing.T) {
	url, log := stacktest.Redis(t).URL()+"/5", failOnLog(t)
	l := newLimiter(t, redisthrottle.New(connect(t, url), log).WithLongTimeout(), t.Name(), perSecond, 100)
	b := l.Acquire("aki")
	b.Take()
	l.Sync(t.Context()) // one of a hundred is below the threshold
	other := newLimiter(t, redisthrottle.New(connect(t, url), log).WithLongTimeout(), t.Name(), perSecond, 100)
	for range 99 {
		if wait := take(t, other, "aki"); wait != 0 {
			t.Fatal(wait)
		}
	}
	b.Release()
	l.Sync(t.Context())
	if wait := take(t, other, "aki"); wait == 0 {
		t.Error("the token of a released bucket is not known")
	}
}

// Run synchronises buckets.
func TestRun(t *testing.T) {
	url, log := stacktest.Redis(t).URL()+"/5", failOnLog(t)
	near := newLimiter(t, redisthrottle.New(connect(t, url), log).WithLongTimeout(), t.Name(), perSecond, 10)
	far := newLimiter(t, redisthrottle.New(connect(t, url), log).WithLongTimeout(), t.Name(), perSecond, 10)
	for range 5 {
		if wait := take(t, far, "aki"); wait != 0 {
			t.Fatal(wait)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		near.Run(ctx)
	}()
	defer func() { cancel(); <-done }()
	b := near.Acquire("aki")
	defer b.Release()
	takeAll(b)
	// Before that, the other process has five tokens; afterwards there is a debt.
	eventually.True(t, "the tokens are known to the other process", func() bool {
		return take(t, far, "aki") > 2*interval
	})
}

// While Redis is unavailable, buckets limit by the count of their process.
func TestBucketsWhenRedisIsUnavailable(t *testing.T) {
	for name, fail := range map[string]func(s *stack.Redis) error{
		"killed": (*stack.Redis).Kill, "silent": (*stack.Redis).Pause,
	} {
		t.Run(name, func(t *testing.T) {
			server, log := start(t), &logRecorder{}
			l := newLimiter(t, redisthrottle.New(connect(t, server.URL()), log.logger()), "sends", perSecond, 10)
			b := l.Acquire("aki")
			defer b.Release()
			b.Take()
			l.Sync(t.Context())
			if err := fail(server); err != nil {
				t.Fatal(err)
			}
			b.Take()
			l.Sync(t.Context())
			if n := takeAll(b); n != 8 {
				t.Errorf("%d more tokens are given, want 8", n)
			}
			l.Sync(t.Context())
			if wait := take(t, l, "aki"); wait == 0 {
				t.Error("there is one token more than the limit allows")
			}
			if entries := log.all(); len(entries) != 1 {
				t.Errorf("the log has %q", entries)
			}
		})
	}
}
