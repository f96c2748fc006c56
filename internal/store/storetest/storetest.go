// Package storetest is the conformance suite of the store port. Every backend
// passes it unchanged: Run holds the promises, Benchmark the workloads that
// backends are compared by.
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
	// Histories is how many random histories each property goes through, in
	// hundredths of what -rapid.checks says. 0 means all of them.
	Histories int
	// Reopen closes the store and opens the same data again.
	Reopen func() store.Store
}

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
		{"Messages", messageTests},
		{"Feed", feedTests},
		{"Pushes", pushTests},
		{"Batches", batchTests},
		{"Removals", removalTests},
		{"Store", storeTests},
		{"Concurrency", concurrencyTests},
		{"Machine", machineTests},
	}
	// One store for most, as a real one holds more than one test.
	shared := open(t)
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) {
			for _, c := range g.tests {
				t.Run(c.name, func(t *testing.T) {
					h := shared
					if c.fresh {
						h = open(t)
					}
					w := &world{T: t, Harness: h, s: h.Store}
					c.run(w)
					if !c.fresh {
						shared.Store = w.s // which the test may have opened anew
					}
				})
			}
		})
	}
}

type testCase struct {
	name  string
	run   func(w *world)
	fresh bool // needs a store without data
}

// world is a test with its store.
type world struct {
	*testing.T
	Harness
	s store.Store
}

func (w *world) ctx() context.Context { return w.Context() }

// reopen opens the data again.
func (w *world) reopen() { w.s = w.Reopen() }

// check has rapid try a property on as many random histories as the harness
// wants. Tests of a package that use rapid do not run at once, so that nobody
// else sees the flag meanwhile.
func (w *world) check(property func(t *rapid.T)) {
	w.Helper()
	if checks := flag.Lookup("rapid.checks"); w.Histories > 0 {
		all := checks.Value.String()
		n, err := strconv.Atoi(all)
		w.nothing(err)
		w.nothing(checks.Value.Set(strconv.Itoa(max(1, n*w.Histories/100))))
		defer func() { w.nothing(checks.Value.Set(all)) }()
	}
	rapid.Check(w.T, property)
}

var counter atomic.Int64

// unique is a name that no other test uses.
func unique(prefix string) string { return fmt.Sprintf("%s%06d", prefix, counter.Add(1)) }

func must[T any](w *world) func(T, error) T {
	return func(v T, err error) T {
		w.Helper()
		if err != nil {
			w.Fatal(err)
		}
		return v
	}
}

func newUser(name string) store.NewUser {
	return store.NewUser{Name: name, Skeleton: name, DisplayName: "Display " + name, Password: "hash of " + name}
}

func (w *world) user() chat.UserID {
	w.Helper()
	return must[chat.User](w)(w.s.CreateUser(w.ctx(), newUser(unique("user")), nil)).ID
}

func (w *world) users(n int) []chat.UserID {
	w.Helper()
	out := make([]chat.UserID, n)
	for i := range out {
		out[i] = w.user()
	}
	return out
}

func (w *world) make(kind chat.Kind, by chat.UserID, members ...chat.UserID) chat.ConversationID {
	w.Helper()
	c := must[store.Change](w)(w.s.CreateConversation(w.ctx(), store.NewConversation{
		Kind: kind, Title: unique("title"), Topic: "topic", By: by, Members: members,
	}))
	return c.Conversation.ID
}

func (w *world) group(by chat.UserID, members ...chat.UserID) chat.ConversationID {
	w.Helper()
	return w.make(chat.Group, by, members...)
}

func (w *world) channel(by chat.UserID, members ...chat.UserID) chat.ConversationID {
	w.Helper()
	return w.make(chat.Channel, by, members...)
}

func (w *world) direct(by, other chat.UserID) chat.ConversationID {
	w.Helper()
	return w.make(chat.Direct, by, other)
}

// clientID is a UUIDv7 of now.
func clientID() chat.ClientID {
	var id chat.ClientID
	binary.BigEndian.PutUint64(id[:8], uint64(time.Now().UnixMilli())<<16|7<<12|rand.Uint64()&0xfff)
	binary.BigEndian.PutUint64(id[8:], 0b10<<62|rand.Uint64()>>2)
	return id
}

func submission(c chat.ConversationID, by chat.UserID, body string) chat.Submission {
	return chat.Submission{Sender: by, Conversation: c, ClientID: clientID(), Body: body, ReceivedAt: time.Now()}
}

func (w *world) append(batch ...chat.Submission) []chat.Outcome {
	w.Helper()
	out := must[[]chat.Outcome](w)(w.s.Append(w.ctx(), batch))
	if len(out) != len(batch) {
		w.Fatalf("%d outcomes for %d submissions", len(out), len(batch))
	}
	return out
}

// send stores one message.
func (w *world) send(c chat.ConversationID, by chat.UserID, body string) chat.Message {
	w.Helper()
	o := w.append(submission(c, by, body))[0]
	if o.Verdict != chat.Stored {
		w.Fatalf("the message was not stored: %+v", o)
	}
	return o.Message
}

func (w *world) sendN(c chat.ConversationID, by chat.UserID, n int) []chat.Message {
	w.Helper()
	batch := make([]chat.Submission, n)
	for i := range batch {
		batch[i] = submission(c, by, fmt.Sprintf("message %d", i+1))
	}
	out := make([]chat.Message, n)
	for i, o := range w.append(batch...) {
		if o.Verdict != chat.Stored {
			w.Fatalf("message %d was not stored: %+v", i, o)
		}
		out[i] = o.Message
	}
	return out
}

func (w *world) history(c chat.ConversationID, by chat.UserID) []chat.Message {
	w.Helper()
	return must[[]chat.Message](w)(w.s.History(w.ctx(), c, by, 1, 1<<31, false, 100_000))
}

func (w *world) summary(c chat.ConversationID, by chat.UserID) chat.Summary {
	w.Helper()
	return must[chat.Summary](w)(w.s.Conversation(w.ctx(), c, by))
}

func (w *world) members(c chat.ConversationID) []chat.UserID {
	w.Helper()
	ids, _, err := w.s.MemberIDs(w.ctx(), c)
	if err != nil {
		w.Fatal(err)
	}
	return ids
}

// refused checks that err is the refusal with the code.
func (w *world) refused(err error, code chat.Code) {
	w.Helper()
	if got := chat.CodeOf(err); got != code {
		w.Errorf("got code %q (error %v), want %q", got, err, code)
	}
}

func (w *world) nothing(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// same compares; nil and empty slices are alike, except where a test looks.
func (w *world) same(what string, got, want any) {
	w.Helper()
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		w.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// sorted is ids in ascending order.
func sorted(ids ...chat.UserID) []chat.UserID {
	slices.Sort(ids)
	return ids
}

// recent tells whether a time was stamped just now, to the millisecond in UTC.
func (w *world) recent(what string, at time.Time) {
	w.Helper()
	if d := time.Since(at); d < -time.Minute || d > time.Minute {
		w.Errorf("%s is %v", what, at)
	}
	if at.Location() != time.UTC || at.Nanosecond()%1e6 != 0 {
		w.Errorf("%s is %v, want UTC and whole milliseconds", what, at)
	}
}

// ms is a time as a store keeps it, d from now.
func ms(d time.Duration) time.Time { return time.Now().Add(d).Truncate(time.Millisecond).UTC() }

// token is the hash of a token that no other test uses.
func token() []byte { return []byte(unique("token")) }

func batchOf(c chat.ConversationID, by chat.UserID, n int) []chat.Submission {
	out := make([]chat.Submission, n)
	for i := range out {
		out[i] = submission(c, by, fmt.Sprint(i))
	}
	return out
}
