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

// A turn comes back after so long in these tests: never.
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

// testBuckets: what buckets gave in one process counts for all processes, by
// either way of taking, and what they gave too much is made up for.
func testBuckets(t *testing.T, url string) {
	const burst = 10
	log := attentive(t)
	var limiters [2]*redisthrottle.Limiter
	for i := range limiters {
		limiters[i] = redisthrottle.New(connect(t, url), log).Patient().Limiter(t.Name(), perSecond, burst)
	}
	near, far := limiters[0], limiters[1]
	phone, laptop := near.Acquire("aki"), far.Acquire("aki")
	defer phone.Release()
	defer laptop.Release()
	for range 4 {
		if wait := phone.Take(); wait != 0 {
			t.Fatalf("a turn of the first four waits %v", wait)
		}
	}
	near.Settle(t.Context())
	for range 3 {
		if wait := take(t, far, "aki"); wait != 0 {
			t.Fatalf("a turn of the next three waits %v", wait)
		}
	}
	if n := takeAll(laptop); n != 3 { // by the answers of Take it knows of all
		t.Errorf("the other process has %d turns left, want 3", n)
	}
	if n := takeAll(phone); n != 6 { // it has heard of nothing yet
		t.Errorf("this process has %d turns left, want 6", n)
	}
	far.Settle(t.Context())
	near.Settle(t.Context())
	// Six too many were given: the next one is there when seven are made up for.
	for name, wait := range map[string]time.Duration{
		"the socket's": phone.Take(), "through the API": take(t, far, "aki"), "through the API next to the socket": take(t, near, "aki"),
	} {
		if least := 6*interval + interval/2; wait < least || wait > 7*interval {
			t.Errorf("%s turn waits %v, want up to %v", name, wait, 7*interval)
		}
	}
	if wait := take(t, far, "ben"); wait != 0 {
		t.Errorf("another key waits %v", wait)
	}
}

func TestBuckets(t *testing.T) { testBuckets(t, stacktest.Redis(t).URL()+"/5") }

func TestBucketsOnCluster(t *testing.T) { testBuckets(t, stacktest.RedisCluster(t).URL()) }

// Take knows what the buckets of its own process gave a moment ago.
func TestTakeSettlesItsOwnProcess(t *testing.T) {
	l := redisthrottle.New(connect(t, stacktest.Redis(t).URL()+"/5"), attentive(t)).Patient().Limiter(t.Name(), perSecond, 100)
	b := l.Acquire("aki")
	defer b.Release()
	for range 99 {
		if wait := b.Take(); wait != 0 {
			t.Fatal(wait)
		}
	}
	if wait := take(t, l, "aki"); wait != 0 {
		t.Errorf("the last turn waits %v", wait)
	}
	if wait := take(t, l, "aki"); wait == 0 {
		t.Error("there is one turn more than the limit allows")
	}
}

// No debt is so large that it is not forgotten within a bounded time.
func TestDebtIsBounded(t *testing.T) {
	url, log := stacktest.Redis(t).URL()+"/5", attentive(t)
	const burst, processes = 10, 20
	var last *redisthrottle.Limiter
	for range processes {
		last = redisthrottle.New(connect(t, url), log).Patient().Limiter(t.Name(), perSecond, burst)
		b := last.Acquire("aki")
		takeAll(b)
		b.Release()
		last.Settle(t.Context())
	}
	if wait := take(t, last, "aki"); wait > 16*burst*interval || wait < 14*burst*interval {
		t.Errorf("the wait is %v, want 15 bursts, which is %v", wait, 15*burst*interval)
	}
}

// Whoever comes and goes owes no less than whoever stays.
func TestReleasedBucketsAreSettled(t *testing.T) {
	url, log := stacktest.Redis(t).URL()+"/5", attentive(t)
	l := redisthrottle.New(connect(t, url), log).Patient().Limiter(t.Name(), perSecond, 100)
	b := l.Acquire("aki")
	b.Take()
	l.Settle(t.Context()) // one of a hundred is not worth a call
	other := redisthrottle.New(connect(t, url), log).Patient().Limiter(t.Name(), perSecond, 100)
	for range 99 {
		if wait := take(t, other, "aki"); wait != 0 {
			t.Fatal(wait)
		}
	}
	b.Release()
	l.Settle(t.Context())
	if wait := take(t, other, "aki"); wait == 0 {
		t.Error("what a bucket gave that was released is not known")
	}
}

// Run settles by itself.
func TestRun(t *testing.T) {
	url, log := stacktest.Redis(t).URL()+"/5", attentive(t)
	near := redisthrottle.New(connect(t, url), log).Patient().Limiter(t.Name(), perSecond, 10)
	far := redisthrottle.New(connect(t, url), log).Patient().Limiter(t.Name(), perSecond, 10)
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
	// Until it is settled the other process has five turns, and then a debt.
	eventually.True(t, "what the bucket gave is known to the other process", func() bool {
		return take(t, far, "aki") > 2*interval
	})
}

// While Redis is away, buckets go by what the process knows.
func TestBucketsWhenRedisIsAway(t *testing.T) {
	for name, harm := range map[string]func(s *stack.Redis) error{
		"killed": (*stack.Redis).Kill, "silent": (*stack.Redis).Pause,
	} {
		t.Run(name, func(t *testing.T) {
			server, log := start(t), &journal{}
			l := redisthrottle.New(connect(t, server.URL()), log.logger()).Limiter("sends", perSecond, 10)
			b := l.Acquire("aki")
			defer b.Release()
			b.Take()
			l.Settle(t.Context())
			if err := harm(server); err != nil {
				t.Fatal(err)
			}
			b.Take()
			l.Settle(t.Context())
			if n := takeAll(b); n != 8 {
				t.Errorf("%d more turns are given, want 8", n)
			}
			l.Settle(t.Context())
			if wait := take(t, l, "aki"); wait == 0 {
				t.Error("there is one turn more than the limit allows")
			}
			if entries := log.all(); len(entries) != 1 {
				t.Errorf("the log has %q", entries)
			}
		})
	}
}
