package submission

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/hikyaku-chat/hikyaku/internal/broker"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/circuitbreaker"
	"github.com/hikyaku-chat/hikyaku/internal/eventually"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/throttle"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fixture is a service with its dependencies, and a source. The test sets their
// answers.
type fixture struct {
	*Service
	ids       *IdempotencyCache
	member    func() (bool, error) // the answer of a membership look-up
	cached    bool                 // memberships are cached
	memberOf  chat.ConversationID  // if set, the only one that senders are members of
	stored    func(key store.SendKey) (*chat.Message, error)
	rejoined  bool         // the store says that the sender is a member, whatever the cache says
	refused   atomic.Int64 // submissions that the store has refused
	accepted  []chat.Submission
	looked    atomic.Int64 // client ids that were looked up
	admit     error
	published []chat.Submission
}

func newFixture(t *testing.T, burst int) *fixture {
	t.Helper()
	f := &fixture{
		member: func() (bool, error) { return true, nil }, cached: true,
		stored: func(store.SendKey) (*chat.Message, error) { return nil, nil },
	}
	f.ids = NewIdempotencyCache(f, slog.New(slog.DiscardHandler))
	limiter, err := throttle.NewLimiter(0.001, burst)
	if err != nil {
		t.Fatal(err)
	}
	refuser := NewRefuser(f, slog.New(slog.DiscardHandler))
	f.Service = New(Config{Publisher: f.publisher(), SendLimiter: limiter, Memberships: f, Refuser: refuser, Idempotency: f.ids})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { f.ids.Run(ctx) })
	running.Go(func() { refuser.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return f
}

type publisher func(chat.Submission)

func (p publisher) Publish(s chat.Submission, _ func(error)) error {
	p(s)
	return nil
}

func (publisher) Refusing() error { return nil }

func (f *fixture) publisher() broker.Publisher {
	return publisher(func(s chat.Submission) { f.published = append(f.published, s) })
}

func (f *fixture) Admit(Request) error { return f.admit }

func (f *fixture) Publish(p broker.Publisher, r Request) error {
	return p.Publish(r.Submission, func(error) {})
}

func (f *fixture) Accepted(r Request) { f.accepted = append(f.accepted, r.Submission) }

func (f *fixture) IsCachedMember(_ chat.UserID, id chat.ConversationID) (member, known bool) {
	if !f.cached {
		return false, false
	}
	member, err := f.memberIn(id)
	return member, err == nil
}

func (f *fixture) IsMember(_ context.Context, _ chat.UserID, id chat.ConversationID) (bool, error) {
	return f.memberIn(id)
}

func (f *fixture) memberIn(id chat.ConversationID) (bool, error) {
	member, err := f.member()
	return member && (f.memberOf == 0 || f.memberOf == id), err
}

func (f *fixture) FindByClientID(_ context.Context, keys []store.SendKey) (map[store.SendKey]chat.Earlier, error) {
	found := map[store.SendKey]chat.Earlier{}
	for _, key := range keys {
		f.looked.Add(1)
		m, err := f.stored(key)
		if err != nil {
			return nil, err
		}
		if m != nil {
			found[key] = chat.Earlier{Message: m}
		}
	}
	return found, nil
}

func (f *fixture) RefuseNonMembers(_ context.Context, batch []chat.Submission) ([]chat.Outcome, error) {
	out := make([]chat.Outcome, len(batch))
	for i := range batch {
		m, err := f.stored(keyOf(&batch[i]))
		if err != nil {
			return nil, err
		}
		msg, verdict, refusal := chat.Earlier{Message: m}.Answer(&batch[i])
		if verdict == 0 && refusal == nil && !f.rejoined {
			f.refused.Add(1)
			refusal = chat.NotFound("conversation")
		}
		out[i] = chat.Outcome{Message: msg, Verdict: verdict, Refusal: refusal}
	}
	return out, nil
}

func (f *fixture) cachedIDs() int {
	f.ids.mu.Lock()
	defer f.ids.mu.Unlock()
	return len(f.ids.current) + len(f.ids.previous)
}

func request(body string) Request {
	return Request{Submission: chat.Submission{Sender: 1, Conversation: 7, ClientID: chat.ClientID(uuid.Must(uuid.NewV7())), Body: body}}
}

// old returns r with a client id that was made long ago.
func old(r Request, n int) Request {
	r.ClientID = chat.ClientID{14: byte(n >> 8), 15: byte(n)}
	return r
}

// ways are the ways to submit, which all have the same rules.
var ways = map[string]func(t *testing.T, f *fixture, r Request) error{
	"never blocks": func(t *testing.T, f *fixture, r Request) error {
		s := f.NewSender(r.Sender)
		defer s.Close()
		done, err := s.TrySubmit(f, r)
		if !done {
			return s.Submit(t.Context(), f, r) // as the gateway does
		}
		return err
	},
	"may wait": func(t *testing.T, f *fixture, r Request) error {
		s := f.NewSender(r.Sender)
		defer s.Close()
		return s.Submit(t.Context(), f, r)
	},
	"without a connection": func(t *testing.T, f *fixture, r Request) error { return f.Submit(t.Context(), f, r) },
}

// Every way refuses the same, in the same order, and at the same cost.
func TestRules(t *testing.T) {
	refused := chat.Refuse("order", "", "not yet")
	away := errors.New("the database is down")
	for name, tt := range map[string]struct {
		change func(f *fixture, r *Request)
		code   chat.Code // of the refusal
		failed bool      // a look-up failed
		free   bool      // it takes no token
	}{
		"nothing is wrong":            {change: func(*fixture, *Request) {}},
		"the source refuses":          {change: func(f *fixture, _ *Request) { f.admit = refused }, code: "order", free: true},
		"not a member":                {change: func(f *fixture, _ *Request) { f.member = func() (bool, error) { return false, nil } }, code: chat.CodeNotFound},
		"not a member, with no text":  {change: func(f *fixture, r *Request) { f.member = func() (bool, error) { return false, nil }; r.Body = "" }, code: chat.CodeNotFound},
		"no text":                     {change: func(_ *fixture, r *Request) { r.Body = " " }, code: chat.CodeInvalid},
		"a reply to nothing":          {change: func(_ *fixture, r *Request) { r.ReplyTo = -1 }, code: chat.CodeInvalid},
		"members cannot be looked up": {change: func(f *fixture, _ *Request) { f.member = func() (bool, error) { return false, away } }, failed: true},
		"client ids cannot be looked up": {change: func(f *fixture, r *Request) {
			f.stored = func(store.SendKey) (*chat.Message, error) { return nil, away }
			*r = old(*r, 1)
		}, failed: true},
		"an id of another text": {change: func(f *fixture, r *Request) {
			f.stored = func(store.SendKey) (*chat.Message, error) { return &chat.Message{Conversation: 7, Body: "other"}, nil }
			*r = old(*r, 1)
		}, code: chat.CodeConflict},
		"the same again, long after": {change: func(f *fixture, r *Request) {
			f.stored = func(store.SendKey) (*chat.Message, error) { return &chat.Message{Conversation: 7, Body: r.Body}, nil }
			*r = old(*r, 1)
		}},
	} {
		for way, submit := range ways {
			t.Run(name+", "+way, func(t *testing.T) {
				f := newFixture(t, 2)
				r := request("hello")
				tt.change(f, &r)
				err := submit(t, f, r)
				var lookUp *LookupError
				if chat.CodeOf(err) != tt.code || errors.As(err, &lookUp) != tt.failed || (err == nil) != (tt.code == "" && !tt.failed) {
					t.Errorf("%v", err)
				}
				if accepted := err == nil; (len(f.published) == 1) != accepted || (f.cachedIDs() == 1) != accepted {
					t.Errorf("published: %v; %d ids are cached", f.published, f.cachedIDs())
				}
				// One token is left, or both are.
				bucket, left := f.cfg.SendLimiter.Acquire(r.Sender.String()), 0
				for bucket.Take() == 0 {
					left++
				}
				bucket.Release()
				if want := map[bool]int{false: 1, true: 2}[tt.free]; left != want {
					t.Errorf("%d tokens are left, want %d", left, want)
				}
			})
		}
	}
}

// All ways share one rate limit.
func TestSharedRateLimit(t *testing.T) {
	f := newFixture(t, len(ways))
	for way, submit := range ways {
		if err := submit(t, f, request("hello")); err != nil {
			t.Errorf("%s: %v", way, err)
		}
	}
	for way, submit := range ways {
		var retry *RetryError
		if err := submit(t, f, request("hello")); !errors.As(err, &retry) || chat.CodeOf(err) != chat.CodeRateLimited ||
			retry.After < 900*time.Second || retry.After > 1000*time.Second {
			t.Errorf("%s: %v", way, err)
		}
	}
}

// All ways share the client ids.
func TestSharedClientIDs(t *testing.T) {
	for first, submit := range ways {
		for second, again := range ways {
			f := newFixture(t, 10)
			r := request("hello")
			if err := submit(t, f, r); err != nil {
				t.Fatal(err)
			}
			looked := f.looked.Load()
			if err := again(t, f, r); err != nil {
				t.Errorf("the same by %s and %s: %v", first, second, err)
			}
			if f.looked.Load() != looked {
				t.Error("a cached id was looked up")
			}
			stored := &chat.Message{Conversation: r.Conversation, Body: r.Body}
			r.Body = "another text"
			var retry *RetryError
			if err := again(t, f, r); !errors.As(err, &retry) || chat.CodeOf(err) != chat.CodeUnavailable {
				t.Errorf("another text by %s and %s, before one is stored: %v", first, second, err)
			}
			f.stored = func(store.SendKey) (*chat.Message, error) { return stored, nil }
			if err := again(t, f, r); chat.CodeOf(err) != chat.CodeConflict {
				t.Errorf("another text by %s and %s: %v", first, second, err)
			}
			stored = &chat.Message{Conversation: r.Conversation, Body: r.Body}
			if err := again(t, f, r); err != nil || len(f.accepted) != 1 {
				t.Errorf("the text that was stored after all, by %s and %s: %v, accepted %v", first, second, err, f.accepted)
			}
		}
	}
}

// New client ids are looked up only for users who are not connected: these could
// not be told of a conflict that the worker finds.
func TestNewClientIDs(t *testing.T) {
	f := newFixture(t, 10)
	f.stored = func(store.SendKey) (*chat.Message, error) { return &chat.Message{Conversation: 7, Body: "other"}, nil }
	if err := f.Submit(t.Context(), f, request("hello")); chat.CodeOf(err) != chat.CodeConflict {
		t.Errorf("without a connection: %v", err)
	}
	s := f.NewSender(1)
	defer s.Close()
	if done, err := s.TrySubmit(f, request("hello")); !done || err != nil {
		t.Errorf("with a connection: %v, %v", done, err)
	}
	if n := f.looked.Load(); n != 1 {
		t.Errorf("%d ids were looked up, want one", n)
	}
}

// What is forgotten is asked of the store: it may have lost the first text.
func TestForgottenClientIDs(t *testing.T) {
	f := newFixture(t, 10)
	r := old(request("hello"), 1)
	if err := f.Submit(t.Context(), f, r); err != nil {
		t.Fatal(err)
	}
	r.Body = "another text"
	var retry *RetryError
	if err := f.Submit(t.Context(), f, r); !errors.As(err, &retry) {
		t.Fatalf("before: %v", err)
	}
	f.ids.Forget()
	if err := f.Submit(t.Context(), f, r); err != nil {
		t.Errorf("after: %v", err)
	}
	f.ids.Forget()
	f.stored = func(store.SendKey) (*chat.Message, error) { return &chat.Message{Conversation: 7, Body: "hello"}, nil }
	if err := f.Submit(t.Context(), f, r); chat.CodeOf(err) != chat.CodeConflict {
		t.Errorf("the store has it: %v", err)
	}
}

// TrySubmit does nothing when a look-up is needed.
func TestTrySubmitWithoutLookup(t *testing.T) {
	for name, change := range map[string]func(f *fixture, r *Request){
		"membership": func(f *fixture, _ *Request) { f.cached = false },
		"client id":  func(_ *fixture, r *Request) { *r = old(*r, 1) },
	} {
		f := newFixture(t, 1)
		r := request("hello")
		change(f, &r)
		s := f.NewSender(1)
		if done, err := s.TrySubmit(f, r); done || err != nil || f.looked.Load() > 0 || f.cachedIDs() > 0 {
			t.Errorf("%s: %v, %v", name, done, err)
		}
		if err := s.Submit(t.Context(), f, r); err != nil { // the token is still there
			t.Errorf("%s: %v", name, err)
		}
		s.Close()
	}
}

// Only the store says that a sender is not a member, after it has looked for the
// same submission.
func TestSeemingNonMember(t *testing.T) {
	for name, tt := range map[string]struct {
		change   func(f *fixture, r *Request)
		code     chat.Code
		accepted bool // as stored before
	}{
		"no member":   {change: func(*fixture, *Request) {}, code: chat.CodeNotFound},
		"stale cache": {change: func(f *fixture, _ *Request) { f.rejoined = true }},
		"stored": {change: func(f *fixture, r *Request) {
			f.stored = func(store.SendKey) (*chat.Message, error) { return &chat.Message{Conversation: 7, Body: r.Body}, nil }
		}, accepted: true},
		"another text": {change: func(f *fixture, _ *Request) {
			f.stored = func(store.SendKey) (*chat.Message, error) { return &chat.Message{Conversation: 7, Body: "other"}, nil }
		}, code: chat.CodeConflict},
	} {
		for way, submit := range ways {
			t.Run(name+", "+way, func(t *testing.T) {
				f := newFixture(t, 2)
				f.member = func() (bool, error) { return false, nil }
				r := request("hello")
				tt.change(f, &r)
				if err := submit(t, f, r); chat.CodeOf(err) != tt.code || (err == nil) != (tt.code == "") {
					t.Error(err)
				}
				if (len(f.accepted) == 1) != tt.accepted || (len(f.published) == 1) != (tt.code == "" && !tt.accepted) {
					t.Errorf("accepted %v, published %v", f.accepted, f.published)
				}
			})
		}
	}
}

// Submissions of non-members are rate-limited, and nothing is looked up or cached
// for them; only those that had a token cost a transaction.
func TestNonMembersLeaveNothing(t *testing.T) {
	f := newFixture(t, 50)
	f.member = func() (bool, error) { return false, nil }
	for i := range 1000 {
		r := request(fmt.Sprint(i))
		if i%2 == 0 {
			r = old(r, i)
		}
		for _, submit := range ways {
			_ = submit(t, f, r)
		}
	}
	if n := f.refused.Load(); n != 50 {
		t.Errorf("the store was asked about %d submissions", n)
	}
	if f.cachedIDs() > 0 || f.looked.Load() > 0 || len(f.published) > 0 {
		t.Errorf("%d ids are cached, %d were looked up, %d messages published", f.cachedIDs(), f.looked.Load(), len(f.published))
	}
}

// A canceled context ends the wait for a look-up.
func TestCanceledLookup(t *testing.T) {
	f := newFixture(t, 10)
	let := make(chan struct{})
	f.stored = func(store.SendKey) (*chat.Message, error) { <-let; return nil, nil }
	defer close(let)
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error)
	go func() { result <- f.Submit(ctx, f, request("hello")) }()
	eventually.True(t, "the id is looked up", func() bool { return f.looked.Load() > 0 })
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Ids that are added during a look-up are looked up together.
func TestBatchedLookups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // nobody loses patience
		let, batches := make(chan struct{}), make(chan int, 10)
		c := NewIdempotencyCache(finder(func(keys []store.SendKey) {
			batches <- len(keys)
			<-let
		}), slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); c.Run(ctx) }()
		defer func() { cancel(); <-done }()
		results := make(chan error)
		submit := func(i int) {
			_, err := c.find(ctx, &chat.Submission{Sender: 1, ClientID: chat.ClientID{15: byte(i)}, Body: "x"}, true)
			results <- err
		}
		go submit(0)
		sizes := []int{<-batches}
		for i := range 20 {
			go submit(i + 1)
		}
		eventually.True(t, "all wait", func() bool { return c.lookups.Len() == 20 })
		close(let)
		for range 21 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		if sizes = append(sizes, <-batches); !slices.Equal(sizes, []int{1, 20}) {
			t.Errorf("batches of %v", sizes)
		}
	})
}

// While the store hangs, the first who need it wait for a moment, and the others
// are told at once to send again. What needs no look-up is published all the while.
func TestHangingStore(t *testing.T) {
	for name, submit := range map[string]func(ctx context.Context, f *fixture, s *Sender) error{
		"a client id that must be looked up": func(ctx context.Context, f *fixture, s *Sender) error {
			return s.Submit(ctx, f, old(request("x"), 1))
		},
		"a sender who may be no member": func(ctx context.Context, f *fixture, s *Sender) error {
			r := request("x")
			r.Conversation = 8
			return s.Submit(ctx, f, r)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, 1000)
				let := make(chan struct{})
				f.stored = func(store.SendKey) (*chat.Message, error) {
					select {
					case <-let:
						return nil, nil
					case <-time.After(lookupTimeout):
						return nil, context.DeadlineExceeded
					}
				}
				f.memberOf = 7
				s := f.NewSender(1)
				defer s.Close()
				began := time.Now()
				for i := range 60 { // a minute
					for range 3 {
						var failed *LookupError
						if err := submit(t.Context(), f, s); !errors.As(err, &failed) {
							t.Fatalf("after %v: %v", time.Since(began), err)
						}
					}
					member := request("member, new id")
					binary.BigEndian.PutUint64(member.ClientID[:8], uint64(time.Now().UnixMilli())<<16) // the library's own has another clock
					if done, err := s.TrySubmit(f, member); !done || err != nil {
						t.Errorf("%v, %v", done, err)
					}
					if took := time.Since(began); took > time.Duration(i+1)*(storePatience+time.Millisecond) {
						t.Fatalf("%d times three submissions took %v", i+1, took)
					}
					time.Sleep(time.Duration(i+1)*time.Second - time.Since(began))
				}
				if len(f.published) != 60 {
					t.Errorf("%d were published of those that need no look-up", len(f.published))
				}
				close(let)
				time.Sleep(circuitbreaker.Cooldown)
				_ = submit(t.Context(), f, s) // joins a look-up that finds the store well
				if err := submit(t.Context(), f, s); errors.As(err, new(*LookupError)) {
					t.Errorf("when the store answers again: %v", err)
				}
			})
		})
	}
}

type finder func(keys []store.SendKey)

func (f finder) FindByClientID(_ context.Context, keys []store.SendKey) (map[store.SendKey]chat.Earlier, error) {
	f(keys)
	return nil, nil
}
