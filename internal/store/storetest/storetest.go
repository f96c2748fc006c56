// Package storetest is the conformance suite of the store port. Every backend
// passes it unchanged: Run tests the contract, Benchmark runs the workloads by
// which backends are compared.
package storetest

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// Harness is a store under test with data of its own. The backend closes it
// when the test ends.
type Harness struct {
	Store store.Store
	// HistoriesPercent is how many random histories each property is checked
	// with, in percent of -rapid.checks. 0 means 100.
	HistoriesPercent int
	// Reopen closes the store and opens the same data again.
	Reopen func() store.Store
	// Beside opens the same data while the store is open, as another process does.
	Beside func() store.Store
	// Clock is the clock of the store, also of a reopened one.
	Clock *Clock
}

// Clock is a clock that can be set. Its zero value shows the time. It is safe for
// concurrent use.
type Clock struct{ offset atomic.Int64 }

// Now returns the time that the clock shows.
func (c *Clock) Now() time.Time { return time.Now().Add(time.Duration(c.offset.Load())) }

// Set sets the clock: it shows the time plus offset from now on.
func (c *Clock) Set(offset time.Duration) { c.offset.Store(int64(offset)) }

// Run runs the suite. open gives a store without any data.
func Run(t *testing.T, open func(tb testing.TB) Harness) {
	t.Helper()
	groups := []struct {
		name  string
		tests []testCase
	}{
		{"Accounts", accountTests},
		{"Sessions", sessionTests},
		{"Invitations", invitationTests},
		{"Conversations", conversationTests},
		{"Members", memberTests},
		{"Links", linkTests},
		{"Append", appendTests},
		{"Failures", failureTests},
		{"Messages", messageTests},
		{"Feed", feedTests},
		{"Epochs", epochTests},
		{"Pushes", pushTests},
		{"Batches", batchTests},
		{"Removals", removalTests},
		{"Store", storeTests},
		{"Concurrency", concurrencyTests},
		{"StateMachine", stateMachineTests},
	}
	// Most tests share one store, because a real store holds more than the data
	// of one test.
	shared := open(t)
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) {
			for _, c := range g.tests {
				t.Run(c.name, func(t *testing.T) {
					h := shared
					if c.fresh {
						h = open(t)
					}
					f := &fixture{T: t, Harness: h, s: h.Store}
					c.run(f)
					if !c.fresh {
						shared.Store = f.s // the test may have reopened it
					}
				})
			}
		})
	}
}

type testCase struct {
	name  string
	run   func(f *fixture)
	fresh bool // needs a store without data
}

// fixture is a test with its store.
type fixture struct {
	*testing.T
	Harness
	s store.Store
}

func (f *fixture) ctx() context.Context { return f.Context() }

// reopen opens the data again.
func (f *fixture) reopen() { f.s = f.Reopen() }

// check has rapid check a property with as many random histories as the harness
// asks for. Tests of a package that use rapid do not run in parallel, so no
// other test sees the changed flag.
func (f *fixture) check(property func(t *rapid.T)) {
	f.Helper()
	if checks := flag.Lookup("rapid.checks"); f.HistoriesPercent > 0 {
		all := checks.Value.String()
		n, err := strconv.Atoi(all)
		f.noError(err)
		f.noError(checks.Value.Set(strconv.Itoa(max(1, n*f.HistoriesPercent/100))))
		defer func() { f.noError(checks.Value.Set(all)) }()
	}
	rapid.Check(f.T, property)
}

var counter atomic.Int64

// unique returns a name that no other test uses.
func unique(prefix string) string { return fmt.Sprintf("%s%06d", prefix, counter.Add(1)) }

func must[T any](f *fixture) func(T, error) T {
	return func(v T, err error) T {
		f.Helper()
		if err != nil {
			f.Fatal(err)
		}
		return v
	}
}

func newUser(name string) store.NewUser {
	return store.NewUser{Name: name, Skeleton: name, DisplayName: "Display " + name, Password: "hash of " + name}
}

func (f *fixture) user() chat.UserID {
	f.Helper()
	return must[chat.User](f)(f.s.CreateUser(f.ctx(), newUser(unique("user")), nil)).ID
}

func (f *fixture) users(n int) []chat.UserID {
	f.Helper()
	out := make([]chat.UserID, n)
	for i := range out {
		out[i] = f.user()
	}
	return out
}

func (f *fixture) create(kind chat.Kind, by chat.UserID, members ...chat.UserID) chat.ConversationID {
	f.Helper()
	c := must[store.Change](f)(f.s.CreateConversation(f.ctx(), store.NewConversation{
		Kind: kind, Title: unique("title"), Topic: "topic", By: by, Members: members,
	}))
	return c.Conversation.ID
}

func (f *fixture) group(by chat.UserID, members ...chat.UserID) chat.ConversationID {
	f.Helper()
	return f.create(chat.Group, by, members...)
}

func (f *fixture) channel(by chat.UserID, members ...chat.UserID) chat.ConversationID {
	f.Helper()
	return f.create(chat.Channel, by, members...)
}

func (f *fixture) direct(by, other chat.UserID) chat.ConversationID {
	f.Helper()
	return f.create(chat.Direct, by, other)
}

// clientID returns a UUIDv7 of the current time.
func clientID() chat.ClientID {
	var id chat.ClientID
	binary.BigEndian.PutUint64(id[:8], uint64(time.Now().UnixMilli())<<16|7<<12|rand.Uint64()&0xfff)
	binary.BigEndian.PutUint64(id[8:], 0b10<<62|rand.Uint64()>>2)
	return id
}

func submission(c chat.ConversationID, by chat.UserID, body string) chat.Submission {
	return chat.Submission{Sender: by, Conversation: c, ClientID: clientID(), Body: body, ReceivedAt: time.Now()}
}

func (f *fixture) append(batch ...chat.Submission) []chat.Outcome {
	f.Helper()
	return must[[]chat.Outcome](f)(f.decide(batch))
}

// decide appends a batch as a broker does: what is undecided, again, until
// everything is decided. It is safe for concurrent use.
func (f *fixture) decide(batch []chat.Submission) ([]chat.Outcome, error) {
	batch = slices.Clone(batch)
	out := make([]chat.Outcome, len(batch))
	left := make([]int, len(batch)) // indexes of what is to be decided
	for i := range left {
		left[i] = i
	}
	for ctx := f.ctx(); len(left) > 0; {
		part := make([]chat.Submission, len(left))
		for k, i := range left {
			part[k] = batch[i]
		}
		outcomes, err := f.s.Append(ctx, part)
		if err != nil {
			return nil, err
		}
		if len(outcomes) != len(part) {
			return nil, fmt.Errorf("%d outcomes for %d submissions", len(outcomes), len(part))
		}
		var undecided []int
		for k, i := range left {
			if out[i] = outcomes[k]; chat.Undecided(out[i].Refusal) {
				batch[i].Retried = true
				undecided = append(undecided, i)
			}
		}
		left = undecided
	}
	return out, nil
}

// send stores one message.
func (f *fixture) send(c chat.ConversationID, by chat.UserID, body string) chat.Message {
	f.Helper()
	o := f.append(submission(c, by, body))[0]
	if o.Verdict != chat.Stored {
		f.Fatalf("the message was not stored: %+v", o)
	}
	return o.Message
}

func (f *fixture) sendN(c chat.ConversationID, by chat.UserID, n int) []chat.Message {
	f.Helper()
	batch := make([]chat.Submission, n)
	for i := range batch {
		batch[i] = submission(c, by, fmt.Sprintf("message %d", i+1))
	}
	out := make([]chat.Message, n)
	for i, o := range f.append(batch...) {
		if o.Verdict != chat.Stored {
			f.Fatalf("message %d was not stored: %+v", i, o)
		}
		out[i] = o.Message
	}
	return out
}

func (f *fixture) history(c chat.ConversationID, by chat.UserID) []chat.Message {
	f.Helper()
	return must[store.HistoryPage](f)(f.s.History(f.ctx(), c, by, 1, 1<<31, false, 100_000)).Messages
}

func (f *fixture) summary(c chat.ConversationID, by chat.UserID) chat.Summary {
	f.Helper()
	return must[chat.Summary](f)(f.s.Conversation(f.ctx(), c, by))
}

func (f *fixture) members(c chat.ConversationID) []chat.UserID {
	f.Helper()
	ids, _, err := f.s.MemberIDs(f.ctx(), c)
	if err != nil {
		f.Fatal(err)
	}
	return ids
}

// refused checks that err is the refusal with the code.
func (f *fixture) refused(err error, code chat.Code) {
	f.Helper()
	if got := chat.CodeOf(err); got != code {
		f.Errorf("got code %q (error %v), want %q", got, err, code)
	}
}

func (f *fixture) noError(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

// equal reports a difference. Nil and empty slices are equal.
func (f *fixture) equal(what string, got, want any) {
	f.Helper()
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		f.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// sorted returns ids in ascending order.
func sorted[T ~int64](ids ...T) []T {
	slices.Sort(ids)
	return ids
}

// recent checks that a time was set just now, to the millisecond in UTC.
func (f *fixture) recent(what string, at time.Time) {
	f.Helper()
	if d := time.Since(at); d < -time.Minute || d > time.Minute {
		f.Errorf("%s is %v", what, at)
	}
	if at.Location() != time.UTC || at.Nanosecond()%1e6 != 0 {
		f.Errorf("%s is %v, want UTC and whole milliseconds", what, at)
	}
}

// ms returns the time d from now, in the precision of a store.
func ms(d time.Duration) time.Time { return time.Now().Add(d).Truncate(time.Millisecond).UTC() }

// token returns the hash of a token that no other test uses.
func token() []byte { return []byte(unique("token")) }

func batchOf(c chat.ConversationID, by chat.UserID, n int) []chat.Submission {
	out := make([]chat.Submission, n)
	for i := range out {
		out[i] = submission(c, by, fmt.Sprint(i))
	}
	return out
}
