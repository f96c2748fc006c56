package notifier_test

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/notifier"
	"github.com/hikyaku-chat/hikyaku/internal/notifyqueue"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/webpush"
)

// simFixture is an installation in which everything but the notifier is simulated. Its
// clock is that of synctest: it jumps when all goroutines wait, so that hours pass at
// once, and the speed of the machine does not matter.
type simFixture struct {
	*testing.T
	deliveries chan notifyqueue.Delivery
	start      time.Time

	mu          sync.Mutex
	devices     map[chat.UserID][]string // endpoints
	owners      map[string]chat.UserID   // of endpoints, dropped ones included
	services    map[string]func() error  // by host; others accept everything, in 100 ms
	seqs        map[chat.ConversationID]int64
	sends       []sendAttempt
	inFlight    map[chat.UserID]int // sends
	maxInFlight map[chat.UserID]int // sends
}

// sendAttempt is one call of Send.
type sendAttempt struct {
	endpoint     string
	conversation string
	at           time.Duration // since start
	accepted     bool
}

// simulate runs a test with a notifier that runs.
func simulate(t *testing.T, test func(f *simFixture)) {
	synctest.Test(t, func(t *testing.T) {
		f := &simFixture{
			T: t, deliveries: make(chan notifyqueue.Delivery, 100_000), start: time.Now(),
			devices: map[chat.UserID][]string{}, owners: map[string]chat.UserID{}, services: map[string]func() error{},
			seqs: map[chat.ConversationID]int64{}, inFlight: map[chat.UserID]int{}, maxInFlight: map[chat.UserID]int{},
		}
		p, err := notifier.New(notifier.Config{Store: f, Locator: f, Sender: f})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- p.Run(ctx, f) }()
		test(f)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// subscribe adds a device of a user.
func (f *simFixture) subscribe(user chat.UserID, endpoint string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.devices[user] = append(f.devices[user], endpoint)
	f.owners[endpoint] = user
}

// setService sets how the push service of a host responds.
func (f *simFixture) setService(host string, respond func() error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.services[host] = respond
}

// timeoutService is a service that never answers.
func timeoutService() error {
	time.Sleep(10 * time.Second)
	return &webpush.RetryError{Host: "silent", Err: context.DeadlineExceeded}
}

// missedJob is the job of a new message to a user who was offline.
func (f *simFixture) missedJob(by chat.UserID, c chat.ConversationID, user chat.UserID) notifyqueue.Job {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seqs[c]++
	return notifyqueue.Job{
		Conversation: c, Message: chat.MessageID(f.seqs[c]), Seq: f.seqs[c], Sender: by, Preview: "hello", At: time.Now(),
		Users: []chat.UserID{user},
	}
}

// publish puts jobs into the queue as one delivery.
func (f *simFixture) publish(jobs ...notifyqueue.Job) {
	f.deliveries <- notifyqueue.Delivery{Jobs: jobs}
}

// Consume implements [notifyqueue.Consumer]. It limits unacknowledged deliveries as
// RabbitMQ does.
func (f *simFixture) Consume(ctx context.Context, handle notifyqueue.Handler) error {
	unacked := make(chan struct{}, 256)
	for {
		select {
		case <-ctx.Done():
			return nil
		case unacked <- struct{}{}:
		}
		select {
		case <-ctx.Done():
			return nil
		case d := <-f.deliveries:
			d.Ack = func() { <-unacked }
			handle(ctx, d)
		}
	}
}

// Send implements [notifier.Sender].
func (f *simFixture) Send(_ context.Context, to webpush.Subscription, n webpush.Notification) error {
	var s notificationContent
	if err := json.Unmarshal(n.Payload, &s); err != nil {
		return err
	}
	f.mu.Lock()
	owner, respond := f.owners[to.Endpoint], f.services[to.Host()]
	f.inFlight[owner]++
	f.maxInFlight[owner] = max(f.maxInFlight[owner], f.inFlight[owner])
	i := len(f.sends)
	f.sends = append(f.sends, sendAttempt{endpoint: to.Endpoint, conversation: s.Conversation, at: time.Since(f.start)})
	f.mu.Unlock()
	var err error
	if respond == nil {
		time.Sleep(100 * time.Millisecond)
	} else {
		err = respond()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.inFlight[owner]--
	f.sends[i].accepted = err == nil
	return err
}

// sendsTo returns the attempts to send to an endpoint.
func (f *simFixture) sendsTo(endpoint string) (out []sendAttempt) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.sends {
		if s.endpoint == endpoint {
			out = append(out, s)
		}
	}
	return out
}

func (f *simFixture) subscribed(user chat.UserID) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.devices[user])
}

// The store and presence: everybody is offline, and has read nothing.

func (f *simFixture) NodesOf(_ context.Context, users []chat.UserID) ([][]string, error) {
	return make([][]string, len(users)), nil
}

func (f *simFixture) Subscriptions(_ context.Context, users []chat.UserID) (out []store.Subscription, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, u := range users {
		for _, e := range f.devices[u] {
			out = append(out, store.Subscription{User: u, Endpoint: e})
		}
	}
	return out, nil
}

func (f *simFixture) DropSubscription(_ context.Context, endpoint string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	owner := f.owners[endpoint]
	f.devices[owner] = slices.DeleteFunc(f.devices[owner], func(e string) bool { return e == endpoint })
	return nil
}

func (f *simFixture) NotificationStates(_ context.Context, keys []store.MemberKey) (map[store.MemberKey]store.NotificationState, error) {
	out := make(map[store.MemberKey]store.NotificationState, len(keys))
	for _, k := range keys {
		out[k] = store.NotificationState{Kind: chat.Direct}
	}
	return out, nil
}

func (f *simFixture) Users(context.Context, []chat.UserID) ([]chat.User, error) { return nil, nil }

func (f *simFixture) History(context.Context, chat.ConversationID, chat.UserID, int64, int64, bool, int) (store.HistoryPage, error) {
	return store.HistoryPage{}, nil
}

func (f *simFixture) Secret() []byte { return []byte("secret") }
