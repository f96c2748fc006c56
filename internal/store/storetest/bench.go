package storetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// Benchmark measures the workloads by which backends are compared. The variant
// with a million messages takes long; exclude it with -bench unless you need it.
func Benchmark(b *testing.B, open func(tb testing.TB) Harness) {
	b.Helper()
	for _, size := range []int{1, 50, 500} {
		b.Run(fmt.Sprintf("Append/batch=%d", size), func(b *testing.B) { benchAppend(b, open(b).Store, size) })
	}
	b.Run("Append/batch=1/callers=64", func(b *testing.B) { benchCallers(b, open(b).Store, 64) })
	for _, n := range []int{1_000, 1_000_000} {
		b.Run(fmt.Sprintf("History/stored=%d", n), func(b *testing.B) { benchHistory(b, open(b).Store, n) })
	}
	benchStored(b, open)
	b.Run("Changed/conversations=50", func(b *testing.B) { benchChanged(b, open(b).Store, 50) })
	for _, n := range []int{100, 1_000, 10_000} {
		b.Run(fmt.Sprintf("FirstSync/conversations=%d", n), func(b *testing.B) { benchFirstSync(b, open(b).Store, n) })
	}
	b.Run("HasChanged/conversations=100", func(b *testing.B) { benchHasChanged(b, open(b).Store, 100) })
	for _, n := range []int{1_000, 20_000} {
		b.Run(fmt.Sprintf("EndedSessions/batch=1000/sessions=%d", n), func(b *testing.B) { benchEndedSessions(b, open(b).Store, n) })
	}
	b.Run("Mark", func(b *testing.B) { benchMark(b, open(b).Store) })
	b.Run("Batch/people=10000", func(b *testing.B) { benchBatch(b, open(b).Store, 10_000) })
}

const (
	benchUsers         = 200
	benchConversations = 100
)

var benchBody = strings.Repeat("0123456789", 20)

// benchFixture is a store with users and conversations.
type benchFixture struct {
	b     *testing.B
	s     store.Store
	users []chat.UserID
	convs []chat.ConversationID
	// members are those of each conversation, at the same index.
	members [][]chat.UserID
}

func newBenchFixture(b *testing.B, s store.Store, users, convs, members int) *benchFixture {
	b.Helper()
	f := &benchFixture{b: b, s: s}
	ctx := context.Background()
	for range users {
		u, err := s.CreateUser(ctx, newUser(unique("bench")), nil)
		if err != nil {
			b.Fatal(err)
		}
		f.users = append(f.users, u.ID)
	}
	for i := range convs {
		var in []chat.UserID
		for k := range members {
			in = append(in, f.users[(i*members+k)%users])
		}
		c, err := s.CreateConversation(ctx, store.NewConversation{Kind: chat.Group, Title: "bench", By: in[0], Members: in[1:]})
		if err != nil {
			b.Fatal(err)
		}
		f.convs, f.members = append(f.convs, c.Conversation.ID), append(f.members, in)
	}
	return f
}

// batch returns n new messages in random conversations.
func (f *benchFixture) batch(n int) []chat.Submission {
	out := make([]chat.Submission, n)
	for i := range out {
		c := rand.IntN(len(f.convs))
		out[i] = submission(f.convs[c], f.members[c][rand.IntN(len(f.members[c]))], benchBody)
	}
	return out
}

func (f *benchFixture) append(batch []chat.Submission) {
	out, err := f.s.Append(context.Background(), batch)
	if err != nil {
		f.b.Fatal(err)
	}
	for i := range out {
		if out[i].Verdict != chat.Stored {
			f.b.Fatalf("not stored: %+v", out[i])
		}
	}
}

// reportMessages reports messages per second.
func (f *benchFixture) reportMessages(n int) {
	f.b.ReportMetric(float64(n)/f.b.Elapsed().Seconds(), "msg/s")
}

func benchAppend(b *testing.B, s store.Store, size int) {
	f := newBenchFixture(b, s, benchUsers, benchConversations, 10)
	batches := make([][]chat.Submission, 0, 64)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		if len(batches) == 0 {
			b.StopTimer()
			for range cap(batches) {
				batches = append(batches, f.batch(size))
			}
			b.StartTimer()
		}
		f.append(batches[len(batches)-1])
		batches = batches[:len(batches)-1]
		n += size
	}
	f.reportMessages(n)
}

// benchCallers measures many callers with one message each: group commit.
func benchCallers(b *testing.B, s store.Store, callers int) {
	f := newBenchFixture(b, s, benchUsers, benchConversations, 10)
	b.SetParallelism(max(1, callers/runtime.GOMAXPROCS(0)))
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			f.append(f.batch(1))
		}
	})
	f.reportMessages(b.N)
}

// benchStored measures an insert and a page in a store that holds many messages
// already: a hundredth, a tenth and all of STORED (10000000, for example), in one
// store that fills up. It does nothing without STORED, because filling takes
// minutes.
func benchStored(b *testing.B, open func(tb testing.TB) Harness) {
	b.Helper()
	most, err := strconv.Atoi(os.Getenv("STORED"))
	if err != nil {
		return
	}
	f := newBenchFixture(b, open(b).Store, benchUsers, benchConversations, 10)
	stored := 0
	for _, n := range []int{most / 100, most / 10, most} {
		for ; stored < n; stored += 2000 {
			f.append(f.batch(min(n-stored, 2000)))
		}
		b.Run(fmt.Sprintf("Stored/n=%d/append=50", n), func(b *testing.B) {
			f := *f
			f.b = b
			for b.Loop() {
				f.append(f.batch(50))
			}
		})
		per := int64(n / benchConversations)
		page := func(from func() int64) func(b *testing.B) {
			return func(b *testing.B) {
				for b.Loop() {
					c := rand.IntN(len(f.convs))
					first := from()
					page, err := f.s.History(context.Background(), f.convs[c], f.members[c][0], first, first+100, false, 50)
					if err != nil || len(page.Messages) != 50 {
						b.Fatalf("%d messages, %v", len(page.Messages), err)
					}
				}
			}
		}
		b.Run(fmt.Sprintf("Stored/n=%d/page=newest", n), page(func() int64 { return per - max(per/10, 60) }))
		b.Run(fmt.Sprintf("Stored/n=%d/page=anywhere", n), page(func() int64 { return rand.Int64N(max(1, per-per/10-60)) + 1 }))
	}
}

func benchHistory(b *testing.B, s store.Store, stored int) {
	f := newBenchFixture(b, s, benchUsers, benchConversations, 10)
	for left := stored; left > 0; left -= 2000 {
		f.append(f.batch(min(left, 2000)))
	}
	per := int64(stored / benchConversations)
	for b.Loop() {
		c := rand.IntN(len(f.convs))
		to := 1 + rand.Int64N(per)
		if _, err := s.History(context.Background(), f.convs[c], f.members[c][0], 1, to, true, 50); err != nil {
			b.Fatal(err)
		}
	}
}

func benchChanged(b *testing.B, s store.Store, convs int) {
	f := newBenchFixture(b, s, 10, convs, 10)
	for range convs {
		f.append(f.batch(100))
	}
	f.markAll()
	for b.Loop() {
		page, _, _, err := s.Changed(context.Background(), f.users[0], "", 100)
		if err != nil || len(page) != convs {
			b.Fatal(len(page), err)
		}
	}
}

// benchFirstSync measures a device's first sync, in pages of 50.
func benchFirstSync(b *testing.B, s store.Store, convs int) {
	f := newBenchFixture(b, s, 2, convs, 2)
	pages := 0
	for b.Loop() {
		listed := 0
		for at, more := store.Position(""), true; more; pages++ {
			var page []store.ChangedConversation
			var err error
			if page, at, more, err = s.Changed(context.Background(), f.users[0], at, 50); err != nil {
				b.Fatal(err)
			}
			listed += len(page)
		}
		if listed != convs {
			b.Fatalf("%d conversations of %d", listed, convs)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(pages), "µs/page")
}

// benchHasChanged measures the check of ten idle devices.
func benchHasChanged(b *testing.B, s store.Store, convs int) {
	f := newBenchFixture(b, s, 10, convs, 10)
	f.append(f.batch(10 * convs))
	f.markAll()
	devices := make([]store.Device, len(f.users))
	for i, u := range f.users {
		_, at, more, err := s.Changed(context.Background(), u, "", convs+1)
		if err != nil || more {
			b.Fatal(more, err)
		}
		devices[i] = store.Device{User: u, After: at}
	}
	for b.Loop() {
		if changed, err := s.HasChanged(context.Background(), devices); err != nil || changed[0] {
			b.Fatal(changed, err)
		}
	}
}

// markAll has every member read and receive.
func (f *benchFixture) markAll() {
	for i, c := range f.convs {
		for _, by := range f.members[i] {
			if _, _, err := f.s.Mark(context.Background(), c, by, 2, 3); err != nil {
				f.b.Fatal(err)
			}
		}
	}
}

// benchEndedSessions measures a look at a thousand sessions, of which none has ended.
func benchEndedSessions(b *testing.B, s store.Store, n int) {
	var ids []chat.SessionID
	for len(ids) < n {
		in := make([]store.NewBatchUser, 1000)
		for i := range in {
			name := unique("guest")
			in[i] = store.NewBatchUser{
				NewUser: store.NewUser{Name: name, Skeleton: name, DisplayName: name},
				Session: store.Session{Token: token(), CreatedAt: ms(0), SeenAt: ms(0), ExpiresAt: ms(time.Hour)},
			}
		}
		made, err := s.CreateBatchUsers(context.Background(), "bench", in)
		if err != nil {
			b.Fatal(err)
		}
		for _, u := range made {
			ids = append(ids, u.Session)
		}
	}
	rand.Shuffle(n, func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	for i := 0; b.Loop(); i++ {
		if ended, err := s.EndedSessions(context.Background(), ids[i%(n/1000)*1000:][:1000]); err != nil || len(ended) > 0 {
			b.Fatal(ended, err)
		}
	}
}

func benchMark(b *testing.B, s store.Store) {
	f := newBenchFixture(b, s, 10, 1, 10)
	for range 100 {
		f.append(f.batch(2000))
	}
	at := int64(0)
	for b.Loop() {
		if at++; at > 200_000 {
			b.Fatal("more marks than messages")
		}
		if _, moved, err := s.Mark(context.Background(), f.convs[0], f.users[0], at, at); err != nil || !moved {
			b.Fatal(moved, err)
		}
	}
}
