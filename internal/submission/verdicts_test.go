package submission_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/broker"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/snowflake"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/store/sqlite"
	"github.com/hikyaku-chat/hikyaku/internal/submission"
	"github.com/hikyaku-chat/hikyaku/internal/throttle"
	"github.com/hikyaku-chat/hikyaku/internal/worker"
)

// A message has one final answer, the same on every way and at every time:
//
//   - what was accepted ends as stored or failed, never both;
//   - what was rejected finally, or has failed, is not stored later;
//   - what is stored is neither rejected nor failed, however often it comes;
//   - nobody hears not_found who was a member all the time.
//
// Each history has two gateways with stale memories, a broker that delivers again,
// workers that pause in the middle of a batch while another takes over, answers
// that are lost, members who come and go, and a device that uses an id twice. The
// services, the worker and the store are the real ones; the clock is not.
func TestOneFinalAnswer(t *testing.T) {
	histories := 40
	if testing.Short() {
		histories = 10
	}
	fresh := freshDatabase(t)
	for _, mode := range []struct {
		name  string
		early bool // the broker confirms before a worker has decided
	}{{"confirmed by the broker", true}, {"confirmed by the store", false}} {
		t.Run(mode.name, func(t *testing.T) {
			for seed := range histories {
				synctest.Test(t, func(t *testing.T) { newHistory(t, fresh, uint64(seed), mode.early).run() })
				if t.Failed() {
					t.Fatalf("in history %d", seed)
				}
			}
		})
	}
}

// attempt is what a device sent under an id, once or more often.
type attempt struct {
	submission chat.Submission
	accepted   bool
	refused    chat.Code // of a final rejection or a failure; "" for none
	unanswered bool      // the device has heard no final answer
}

type attemptKey struct {
	sender chat.UserID
	id     chat.ClientID
	digest chat.Digest
}

func keyOf(s *chat.Submission) attemptKey { return attemptKey{s.Sender, s.ClientID, s.Digest()} }

// way is a process by which messages are sent.
type way struct {
	service *submission.Service
	sender  map[chat.UserID]*submission.Sender
	members map[chat.UserID]bool // what it remembers
	known   map[chat.UserID]bool // and of whom
	h       *history
}

// delivery is a message in the broker.
type delivery struct {
	broker.Delivery
	confirm func(error)
}

// consumer is a worker, which may pause with a batch.
type consumer struct {
	worker *worker.Worker
	taken  []*delivery
	owned  bool // the batch is of its partition still
}

type history struct {
	t        *testing.T
	r        *rand.Rand
	early    bool
	store    store.Store
	owner    chat.UserID
	users    []chat.UserID
	room     chat.ConversationID
	member   map[chat.UserID]bool
	ways     []*way
	workers  []*consumer
	active   *consumer // the owner of the partition
	queue    []*delivery
	attempts []*attempt
	byKey    map[attemptKey]*attempt
	log      []string
}

// freshDatabase returns the file of an empty database, so that not every history
// has to create its tables.
func freshDatabase(t *testing.T) []byte {
	path := filepath.Join(t.TempDir(), "fresh.db")
	if err := openStore(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	fresh, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return fresh
}

func openStore(t *testing.T, path string) *sqlite.Store {
	ids, err := snowflake.NewGenerator(0, nil)
	if err != nil {
		t.Fatal(err)
	}
	st, err := sqlite.Open(t.Context(), sqlite.Config{Path: path, NewID: ids.Next, Logger: slog.New(slog.DiscardHandler), ReadConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func newHistory(t *testing.T, fresh []byte, seed uint64, early bool) *history {
	path := filepath.Join(t.TempDir(), "test.db")
	if err := os.WriteFile(path, fresh, 0o600); err != nil {
		t.Fatal(err)
	}
	st := openStore(t, path)
	h := &history{
		t: t, r: rand.New(rand.NewPCG(seed, 1)), early: early, store: st,
		member: map[chat.UserID]bool{}, byKey: map[attemptKey]*attempt{},
	}
	for _, name := range []string{"owner", "aki", "ben"} {
		u, err := st.CreateUser(t.Context(), store.NewUser{Name: name, Skeleton: name}, nil)
		if err != nil {
			t.Fatal(err)
		}
		h.users = append(h.users, u.ID)
	}
	h.owner, h.users = h.users[0], h.users[1:]
	c, err := st.CreateConversation(t.Context(), store.NewConversation{Kind: chat.Group, Title: "room", By: h.owner, Members: h.users})
	if err != nil {
		t.Fatal(err)
	}
	h.room = c.Conversation.ID
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for range 2 {
		w := &way{h: h, sender: map[chat.UserID]*submission.Sender{}, members: map[chat.UserID]bool{}, known: map[chat.UserID]bool{}}
		limiter, err := throttle.NewLimiter(1000, 1000)
		if err != nil {
			t.Fatal(err)
		}
		refuser := submission.NewRefuser(st, slog.New(slog.DiscardHandler))
		running.Go(func() { refuser.Run(ctx) })
		cfg := submission.Config{Publisher: h, Memberships: w, SendLimiter: limiter, Refuser: refuser}
		if early {
			cfg.Idempotency = submission.NewIdempotencyCache(st, slog.New(slog.DiscardHandler))
			running.Go(func() { cfg.Idempotency.Run(ctx) })
		}
		w.service = submission.New(cfg)
		h.ways = append(h.ways, w)
		for _, u := range h.users {
			h.member[u] = true
			w.sender[u] = w.service.NewSender(u)
		}
		h.workers = append(h.workers, &consumer{worker: worker.New(st, h, slog.New(slog.DiscardHandler))})
	}
	h.active = h.workers[0]
	t.Cleanup(func() {
		cancel()
		running.Wait()
		for _, w := range h.ways {
			for _, s := range w.sender {
				s.Close()
			}
		}
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

func (h *history) note(format string, args ...any) {
	h.log = append(h.log, fmt.Sprintf(format, args...))
}

func (h *history) fail(format string, args ...any) {
	h.t.Helper()
	h.t.Fatalf(format+"\n%s", append(args, strings.Join(h.log, "\n"))...)
}

func (h *history) chance(n int) bool { return h.r.IntN(n) == 0 }

// run plays the history, and then lets everything come to its end.
func (h *history) run() {
	for range 60 {
		h.step()
	}
	for _, c := range h.workers {
		h.handle(c)
	}
	for len(h.queue) > 0 {
		h.take()
		h.handle(h.active)
	}
	h.check()
	// Everything once more, on every way, whoever is a member now.
	for range 2 {
		for _, a := range h.attempts {
			for _, w := range h.ways {
				for _, connected := range []bool{true, false} {
					h.send(w, a, connected)
					h.take()
					h.handle(h.active)
				}
			}
		}
		h.check()
		for _, u := range h.users {
			h.setMember(u, true)
		}
	}
}

func (h *history) step() {
	w := h.ways[h.r.IntN(len(h.ways))]
	u := h.users[h.r.IntN(len(h.users))]
	switch h.r.IntN(12) {
	case 0, 1:
		h.send(w, h.newAttempt(u), h.chance(2))
	case 2, 3:
		// The devices send again what they have heard nothing of, and sometimes
		// what they have.
		for _, a := range h.attempts {
			if a.unanswered && h.chance(2) || h.chance(20) {
				h.send(w, a, h.chance(2))
			}
		}
	case 4:
		h.setMember(u, !h.member[u])
	case 5: // a gateway hears of the members, or forgets them
		for _, u := range h.users {
			w.known[u] = h.chance(2)
			w.members[u] = h.member[u]
		}
	case 6, 7:
		h.take()
	case 8, 9:
		h.handle(h.workers[h.r.IntN(len(h.workers))])
	case 10: // the other worker takes over; what is not acknowledged comes again
		h.active.owned = false
		h.active = h.workers[h.r.IntN(len(h.workers))]
		h.active.owned = false
		h.note("another owner")
	case 11:
		time.Sleep(time.Duration(h.r.IntN(4000)) * time.Millisecond)
	}
}

// newAttempt returns a new message, or an old id with another text.
func (h *history) newAttempt(u chat.UserID) *attempt {
	s := chat.Submission{Sender: u, Conversation: h.room, ClientID: h.clientID(), Body: fmt.Sprint("message ", len(h.attempts))}
	switch {
	case h.chance(6):
		s.ReplyTo = 1 + h.r.Int64N(4) // which may not be there yet
	case h.chance(6) && len(h.attempts) > 0:
		earlier := h.attempts[h.r.IntN(len(h.attempts))].submission
		s.Sender, s.ClientID = earlier.Sender, earlier.ClientID
	}
	a := &attempt{submission: s, unanswered: true}
	h.attempts = append(h.attempts, a)
	h.byKey[keyOf(&s)] = a
	return a
}

// clientID returns a UUIDv7 of the history's time.
func (h *history) clientID() (id chat.ClientID) {
	binary.BigEndian.PutUint64(id[:8], uint64(time.Now().UnixMilli())<<16|7<<12|h.r.Uint64N(1<<12)) //nolint:gosec // after 1970
	binary.BigEndian.PutUint64(id[8:], 0b10<<62|h.r.Uint64()>>2)
	return id
}

func (h *history) setMember(u chat.UserID, member bool) {
	var err error
	if member {
		_, err = h.store.AddMembers(h.t.Context(), h.room, h.owner, []chat.UserID{u})
	} else {
		_, err = h.store.RemoveMember(h.t.Context(), h.room, h.owner, u)
	}
	if err != nil {
		h.fail("%v", err)
	}
	h.member[u] = member
	h.note("%d is a member: %v", u, member)
}

// source is one send of an attempt. Its answer may be lost on the way to the
// device, but it was given.
type source struct {
	h *history
	a *attempt
}

func (src source) Admit(submission.Request) error { return nil }

func (src source) Publish(p broker.Publisher, r submission.Request) error {
	return p.Publish(r.Submission, src.answer)
}

func (src source) Accepted(submission.Request) { src.answer(nil) }

func (src source) answer(err error) {
	h, a := src.h, src.a
	lost := h.chance(3)
	h.note("%q: answer %v, lost: %v", a.submission.Body, err, lost)
	if err == nil {
		a.accepted = true
	} else {
		h.refused(a, chat.CodeOf(err))
	}
	if !lost {
		a.unanswered = false
	}
}

// refused notes that an attempt was refused finally.
func (h *history) refused(a *attempt, code chat.Code) {
	if code == "" {
		h.fail("%q: an error without a code", a.submission.Body)
	}
	a.refused = code
	if h.stored(a) {
		h.fail("%q was refused with %s, and is stored", a.submission.Body, code)
	}
}

func (h *history) send(w *way, a *attempt, connected bool) {
	h.note("%q: %d sends, connected: %v", a.submission.Body, a.submission.Sender, connected)
	decided := h.failed(a)
	ctx, src, r := h.t.Context(), source{h, a}, submission.Request{Submission: a.submission}
	r.ReceivedAt = time.Now()
	var err error
	if s := w.sender[r.Sender]; connected {
		var done bool
		if done, err = s.TrySubmit(src, r); !done {
			err = s.Submit(ctx, src, r)
		}
	} else {
		err = w.service.Submit(ctx, src, r)
	}
	var retry *submission.RetryError
	if err == nil || errors.As(err, &retry) {
		return
	}
	if code := chat.CodeOf(err); code == chat.CodeNotFound && h.member[r.Sender] && !decided {
		h.fail("%q was answered not_found, and its author is a member", a.submission.Body)
	}
	src.answer(err)
}

func (w *way) IsCachedMember(u chat.UserID, _ chat.ConversationID) (member, cached bool) {
	return w.members[u], w.known[u]
}

func (w *way) IsMember(_ context.Context, u chat.UserID, _ chat.ConversationID) (bool, error) {
	if !w.known[u] {
		w.members[u], w.known[u] = w.h.member[u], true
	}
	return w.members[u], nil
}

// Publish implements broker.Publisher.
func (h *history) Publish(s chat.Submission, confirm func(error)) error {
	d := &delivery{Delivery: broker.Delivery{Submission: s, Confirmed: h.early}, confirm: confirm}
	h.queue = append(h.queue, d)
	if h.early {
		confirm(nil)
	}
	return nil
}

// Refusing implements broker.Publisher.
func (h *history) Refusing() error { return nil }

// take has the owner of the partition receive what is in the queue, unless it is
// busy.
func (h *history) take() {
	c := h.active
	if len(c.taken) > 0 || len(h.queue) == 0 {
		return
	}
	c.taken, c.owned = slices.Clone(h.queue[:1+h.r.IntN(len(h.queue))]), true
	h.note("a worker takes %d", len(c.taken))
}

// handle has a worker go on with its batch, and acknowledge it if its partition
// is still its own.
func (h *history) handle(c *consumer) {
	if len(c.taken) == 0 {
		return
	}
	batch := make([]broker.Delivery, len(c.taken))
	for i, d := range c.taken {
		batch[i] = d.Delivery
		d.Redelivered = true
	}
	verdicts, err := c.worker.Handle(h.t.Context(), batch)
	if err != nil {
		h.fail("%v", err)
	}
	h.note("a worker has handled %d, as the owner: %v", len(batch), c.owned)
	if c.owned {
		if !slices.Equal(h.queue[:len(c.taken)], c.taken) {
			h.fail("the model of the broker is wrong")
		}
		h.queue = h.queue[len(c.taken):]
		if !h.early {
			for i, d := range c.taken {
				if verdicts[i] != nil {
					d.confirm(verdicts[i])
				} else {
					d.confirm(nil)
				}
			}
		}
	}
	c.taken, c.owned = nil, false
}

// Stored implements worker.Announcer.
func (h *history) Stored(_ context.Context, outcomes []chat.Outcome, _ func(int) bool) {
	for i := range outcomes {
		if m := &outcomes[i].Message; m.Seq > 0 {
			s := chat.Submission{Sender: m.Sender, Conversation: m.Conversation, ClientID: m.ClientID, Body: m.Body, ReplyTo: m.ReplyTo}
			if a := h.byKey[keyOf(&s)]; a.refused != "" {
				h.fail("%q is stored, and was refused with %s", m.Body, a.refused)
			}
		}
	}
}

// Failed implements worker.Announcer.
func (h *history) Failed(_ context.Context, s *chat.Submission, refusal *chat.Error) {
	h.note("%q failed: %v", s.Body, refusal)
	h.refused(h.byKey[keyOf(s)], refusal.Code)
}

// failed reports whether a worker has decided that an attempt fails.
func (h *history) failed(a *attempt) bool {
	key := store.SendKey{Sender: a.submission.Sender, ClientID: a.submission.ClientID}
	found, err := h.store.FindByClientID(h.t.Context(), []store.SendKey{key})
	if err != nil {
		h.fail("%v", err)
	}
	e := found[key]
	return e.Failure != nil && e.Failure.Digest == a.submission.Digest()
}

func (h *history) stored(a *attempt) bool {
	return slices.ContainsFunc(h.messages(), func(m chat.Message) bool {
		return m.Sender == a.submission.Sender && m.ClientID == a.submission.ClientID && m.SameAs(&a.submission)
	})
}

func (h *history) messages() []chat.Message {
	list, err := h.store.History(h.t.Context(), h.room, h.owner, 1, 1<<31, false, 10_000)
	if err != nil {
		h.fail("%v", err)
	}
	return list.Messages
}

// check compares what was said with what is stored, when nothing is on its way.
func (h *history) check() {
	failures := map[attemptKey]bool{}
	for _, u := range h.users {
		list, err := h.store.Failures(h.t.Context(), u, "")
		if err != nil {
			h.fail("%v", err)
		}
		for _, f := range list {
			failures[attemptKey{f.Sender, f.ClientID, f.Digest}] = true
		}
	}
	for _, a := range h.attempts {
		stored := h.stored(a)
		switch {
		case stored && a.refused != "":
			h.fail("%q is stored, and was refused with %s", a.submission.Body, a.refused)
		case a.accepted && !stored && a.refused == "":
			h.fail("%q was accepted, and is neither stored nor refused", a.submission.Body)
		case a.accepted && !stored && !failures[keyOf(&a.submission)]:
			h.fail("%q was accepted and has failed, and its author cannot find out", a.submission.Body)
		}
	}
}
