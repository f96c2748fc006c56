package hangs

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/acceptance"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/client"
	"github.com/hikyaku-chat/hikyaku/internal/eventually"
	"github.com/hikyaku-chat/hikyaku/internal/stack"
	"github.com/hikyaku-chat/hikyaku/internal/syncclient"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
	"github.com/hikyaku-chat/hikyaku/test/cluster/clustertest"
)

const (
	// talkInterval has six users send 30 messages a second.
	talkInterval = 200 * time.Millisecond
	// withoutPostgreSQL is how long people must be able to send without it.
	withoutPostgreSQL = 65 * time.Second
	// withoutRedis is how long people wait for messages without it.
	withoutRedis = 15 * time.Second
	// withoutShard is how long they wait without one of three.
	withoutShard = 12 * time.Second
	// most is how late anything may be on a machine that has nothing else to do.
	most = 5 * time.Second
)

// bound is how late anything may be, on a machine on which it was before late at
// most without a fault.
func bound(before time.Duration) time.Duration { return most + 4*before }

// passes waits until a time has passed in which a server is away.
func passes(t *testing.T, d time.Duration) {
	t.Helper()
	began := time.Now()
	eventually.True(t, fmt.Sprint("a time of ", d), func() bool { return time.Since(began) >= d })
}

// Hung servers: people who talk all the time, and devices of people for whom
// nothing happens, so that they are heard of rarely.
func TestHungServers(t *testing.T) {
	t.Parallel()
	s := clustertest.Shared(t)
	q := startQuiet(t, s)
	t.Run("PostgreSQL", func(t *testing.T) { withoutThePostgreSQL(t, s) })
	q.awaitQuiet()
	t.Run("Redis", func(t *testing.T) { withoutTheRedis(t, s, q, s.Redis[0], withoutRedis) })
}

// One server of a Redis Cluster hangs, and then another: those that still answer
// bring nobody to wait for it.
func TestHungShards(t *testing.T) {
	t.Parallel()
	s, err := clustertest.Start(stack.Options{RedisCluster: true})
	clustertest.NoError(t, err)
	defer func() { clustertest.NoError(t, s.Close()) }()
	q := startQuiet(t, s)
	for i, server := range s.Redis {
		t.Run(fmt.Sprint(i), func(t *testing.T) { withoutTheRedis(t, s, q, server, withoutShard) })
	}
}

// PostgreSQL hangs for longer than a minute: everything that people send is accepted
// as if nothing was, by what the gateways remember, and stored afterwards.
func withoutThePostgreSQL(t *testing.T, s *clustertest.System) {
	tr := s.StartTrafficEvery(t, talkInterval)
	from := time.Now()
	tr.AwaitSent(50)
	tr.AwaitDelivery()
	to := time.Now()
	sentBefore, before := tr.Acceptance(from, to)

	clustertest.NoError(t, s.Postgres.Pause())
	resume := sync.OnceFunc(func() { clustertest.NoError(t, s.Postgres.Resume()) })
	defer resume()
	began := time.Now()
	passes(t, withoutPostgreSQL)
	end := time.Now()
	passes(t, bound(before)) // for the last answers
	sent, longest := tr.Acceptance(began, end)
	resume()
	t.Logf("%d messages in %v without PostgreSQL, each accepted within %v; %d in %v before, within %v",
		sent, end.Sub(began).Round(time.Second), longest.Round(time.Millisecond), sentBefore, to.Sub(from).Round(time.Second), before.Round(time.Millisecond))
	if longest > bound(before) {
		t.Errorf("a message waited %v for its answer", longest)
	}
	if rate, rateBefore := float64(sent)/end.Sub(began).Seconds(), float64(sentBefore)/to.Sub(from).Seconds(); rate < rateBefore/2 {
		t.Errorf("%.1f messages a second were sent, %.1f before", rate, rateBefore)
	}
	tr.AwaitDelivery()
	tr.Verify()
	eventually.Nil(t, "accounts can be made again", func() error {
		c, err := client.New(s.URL())
		if err != nil {
			return err
		}
		return c.Register(t.Context(), fmt.Sprintf("after%d", time.Now().UnixNano()), clustertest.Password, "")
	})
}

// A Redis hangs: whatever is said reaches every device while it still does, also those
// that ask for nothing, and those that connect meanwhile.
func withoutTheRedis(t *testing.T, s *clustertest.System, q *quiet, server *stack.Redis, d time.Duration) {
	tr := s.StartTrafficEvery(t, talkInterval)
	q.t = t
	for i := range q.people {
		q.say(i)
	}
	before := q.awaitAll()

	newcomerBefore := q.connect(t)

	clustertest.NoError(t, server.Pause())
	resume := sync.OnceFunc(func() { clustertest.NoError(t, server.Resume()) })
	defer resume()
	began := time.Now()
	var newcomers time.Duration
	for i := 0; time.Since(began) < d; i++ {
		q.say(i % len(q.people))
		if i%10 == 5 {
			newcomers = max(newcomers, q.connect(t))
		}
		passes(t, talkInterval)
	}
	longest := q.awaitAll()
	t.Logf("without Redis quiet devices had what was said within %v of when it was stored, and new ones had everything after %v; before within %v, after %v",
		longest.Round(time.Millisecond), newcomers.Round(time.Millisecond), before.Round(time.Millisecond), newcomerBefore.Round(time.Millisecond))
	if longest > bound(before) {
		t.Errorf("a device was %v behind", longest)
	}
	if newcomers > bound(newcomerBefore) {
		t.Errorf("a device had what it lacked after %v", newcomers)
	}
	resume()
	tr.AwaitDelivery()
	tr.Verify()
}

// quiet is people whose devices only listen, and one who talks to them.
type quiet struct {
	t       *testing.T
	talker  *syncclient.Client
	account *client.Client        // of one of the people
	people  []chat.ConversationID // with each of them
	witness *acceptance.User      // a device as quiet, whose heartbeats can be seen

	mu   sync.Mutex
	said map[chat.ClientID]bool
	late map[chat.ClientID]time.Duration // how long after it was stored each message came
}

const quietPeople = 20

func startQuiet(t *testing.T, s *clustertest.System) *quiet {
	t.Helper()
	q := &quiet{t: t, said: map[chat.ClientID]bool{}, late: map[chat.ClientID]time.Duration{}}
	talker := s.Register(t)
	for range quietPeople {
		c := s.Register(t)
		d, err := talker.CreateDirect(t.Context(), c.Me().ID)
		clustertest.NoError(t, err)
		device, err := syncclient.Start(c, syncclient.Config{FromStart: true, OnMessage: q.received})
		clustertest.NoError(t, err)
		t.Cleanup(device.Close)
		q.people, q.account = append(q.people, d.ID), c
	}
	q.witness = s.Connect(t, s.Register(t))
	var err error
	q.talker, err = syncclient.Start(talker, syncclient.Config{})
	clustertest.NoError(t, err)
	t.Cleanup(q.talker.Close)
	return q
}

func (q *quiet) received(m wire.Message) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.late[m.ClientID] = time.Since(m.At.Time())
}

// connect connects another device of one of the people, and returns after what time
// it had something.
func (q *quiet) connect(t *testing.T) time.Duration {
	t.Helper()
	began, first := time.Now(), make(chan struct{})
	once := sync.OnceFunc(func() { close(first) })
	device, err := syncclient.Start(q.account, syncclient.Config{FromStart: true, OnMessage: func(wire.Message) { once() }})
	clustertest.NoError(t, err)
	defer device.Close()
	eventually.Receive(t, "a new device has what it lacks", first)
	return time.Since(began)
}

// awaitQuiet waits until devices for which nothing happens are rarely heard of.
func (q *quiet) awaitQuiet() {
	q.t.Helper()
	acceptance.Await(q.witness, "pong", func(p wire.Pong) bool { return p.NextMS > 10_000 })
}

// say sends a message to one of the people.
func (q *quiet) say(i int) {
	m := q.talker.Send(q.people[i], "a message")
	q.mu.Lock()
	defer q.mu.Unlock()
	q.said[m.ID] = true
}

// awaitAll waits until everything that was said has come, and returns how late the
// latest was. It forgets them.
func (q *quiet) awaitAll() (longest time.Duration) {
	q.t.Helper()
	eventually.Nil(q.t, "what was said comes", func() error {
		q.mu.Lock()
		defer q.mu.Unlock()
		missing := 0
		for id := range q.said {
			if _, came := q.late[id]; !came {
				missing++
			}
		}
		if missing > 0 {
			return fmt.Errorf("%d of %d messages are missing", missing, len(q.said))
		}
		return nil
	})
	q.mu.Lock()
	defer q.mu.Unlock()
	for id := range q.said {
		longest = max(longest, q.late[id])
	}
	clear(q.said)
	return longest
}
