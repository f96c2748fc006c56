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

// simFixture is an installation of which all but the pusher is made up. Its clock is
// that of synctest: it jumps when everybody waits, so that hours pass at once
// and how fast the machine is changes nothing.
type simFixture struct {
	*testing.T
	deliveries chan notifyqueue.Delivery
	start      time.Time

	mu       sync.Mutex
	devices  map[chat.UserID][]string // endpoints
	owners   map[string]chat.UserID   // of endpoints, also of those that have ended
	services map[string]func() error  // by host; who is not here takes all, in 100 ms
	seqs     map[chat.ConversationID]int64
	sends    []sendAttempt
	inFlight   map[chat.UserID]int // on their way
	maxInFlight     map[chat.UserID]int // that ever were
}

// sendAttempt is an attempt to send something.
type sendAttempt struct {
	endpoint     string
	conversation string
	at           time.Duration // since the town began
	accepted        bool
}

// simulate runs a test on a pusher that works.
func simulate(t *testing.T, test func(w *simFixture)) {
	synctest.Test(t, func(t *testing.T) {
		w := &simFixture{
			T: t, deliveries: make(chan notifyqueue.Delivery, 100_000), start: time.Now(),
			devices: map[chat.UserID][]string{}, owners: map[string]chat.UserID{}, services: map[string]func() error{},
			seqs: map[chat.ConversationID]int64{}, inFlight: map[chat.UserID]int{}, maxInFlight: map[chat.UserID]int{},
		}
		p, err := notifier.New(notifier.Config{Store: w, Locator: w, Sender: w})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- p.Run(ctx, w) }()
		test(w)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// subscribe gives a user a device.
func (w *simFixture) subscribe(user chat.UserID, endpoint string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.devices[user] = append(w.devices[user], endpoint)
	w.owners[endpoint] = user
}

// setService makes a service do as f does.
func (w *simFixture) setService(host string, f func() error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.services[host] = f
}

// timeoutService is a service that never answers.
func timeoutService() error {
	time.Sleep(10 * time.Second)
	return &webpush.RetryError{Host: "silent", Err: context.DeadlineExceeded}
}

// missedJob is a message to a user who was away.
func (w *simFixture) missedJob(by chat.UserID, c chat.ConversationID, user chat.UserID) notifyqueue.Job {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seqs[c]++
	return notifyqueue.Job{
		Conversation: c, Message: chat.MessageID(w.seqs[c]), Seq: w.seqs[c], Sender: by, Preview: "hello", At: time.Now(),
		Users: []chat.UserID{user},
	}
}

// publish puts jobs into the queue as one delivery.
func (w *simFixture) publish(jobs ...notifyqueue.Job) { w.deliveries <- notifyqueue.Delivery{Jobs: jobs} }

// Consume is the queue. It hands out no more deliveries than RabbitMQ does
// before they are done.
func (w *simFixture) Consume(ctx context.Context, handle notifyqueue.Handler) error {
	handed := make(chan struct{}, 256)
	for {
		select {
		case <-ctx.Done():
			return nil
		case handed <- struct{}{}:
		}
		select {
		case <-ctx.Done():
			return nil
		case d := <-w.deliveries:
			d.Ack = func() { <-handed }
			handle(ctx, d)
		}
	}
}

// Send is what services do.
func (w *simFixture) Send(_ context.Context, to webpush.Subscription, n webpush.Notification) error {
	var s notificationContent
	if err := json.Unmarshal(n.Payload, &s); err != nil {
		return err
	}
	w.mu.Lock()
	owner, f := w.owners[to.Endpoint], w.services[to.Host()]
	w.inFlight[owner]++
	w.maxInFlight[owner] = max(w.maxInFlight[owner], w.inFlight[owner])
	i := len(w.sends)
	w.sends = append(w.sends, sendAttempt{endpoint: to.Endpoint, conversation: s.Conversation, at: time.Since(w.start)})
	w.mu.Unlock()
	var err error
	if f == nil {
		time.Sleep(100 * time.Millisecond)
	} else {
		err = f()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.inFlight[owner]--
	w.sends[i].accepted = err == nil
	return err
}

// sendsTo are the attempts to send to an endpoint.
func (w *simFixture) sendsTo(endpoint string) (out []sendAttempt) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.sends {
		if s.endpoint == endpoint {
			out = append(out, s)
		}
	}
	return out
}

func (w *simFixture) subscribed(user chat.UserID) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.devices[user])
}

// The store and presence: everybody is away, and has read nothing.

func (w *simFixture) NodesOf(_ context.Context, users []chat.UserID) ([][]string, error) {
	return make([][]string, len(users)), nil
}

func (w *simFixture) Subscriptions(_ context.Context, users []chat.UserID) (out []store.Subscription, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, u := range users {
		for _, e := range w.devices[u] {
			out = append(out, store.Subscription{User: u, Endpoint: e})
		}
	}
	return out, nil
}

func (w *simFixture) DropSubscription(_ context.Context, endpoint string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	owner := w.owners[endpoint]
	w.devices[owner] = slices.DeleteFunc(w.devices[owner], func(e string) bool { return e == endpoint })
	return nil
}

func (w *simFixture) NotificationStates(_ context.Context, keys []store.MemberKey) (map[store.MemberKey]store.NotificationState, error) {
	out := make(map[store.MemberKey]store.NotificationState, len(keys))
	for _, k := range keys {
		out[k] = store.NotificationState{Kind: chat.Direct}
	}
	return out, nil
}

func (w *simFixture) Users(context.Context, []chat.UserID) ([]chat.User, error) { return nil, nil }

func (w *simFixture) History(context.Context, chat.ConversationID, chat.UserID, int64, int64, bool, int) ([]chat.Message, error) {
	return nil, nil
}

func (w *simFixture) Secret() []byte { return []byte("secret") }
