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

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// Benchmark measures the workloads that backends are compared by. The variant
// with a million messages takes its time; leave it out with -bench unless it
// is what you want.
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
	b.Run("Heads/conversations=50", func(b *testing.B) { benchHeads(b, open(b).Store, 50) })
	b.Run("Mark", func(b *testing.B) { benchMark(b, open(b).Store) })
	b.Run("Batch/people=10000", func(b *testing.B) { benchBatch(b, open(b).Store, 10_000) })
}

const (
	benchUsers         = 200
	benchConversations = 100
)

var benchBody = strings.Repeat("0123456789", 20)

// hall is a store with people who talk.
type hall struct {
	b     *testing.B
	s     store.Store
	users []chat.UserID
	convs []chat.ConversationID
	// in are the members of each conversation.
	in [][]chat.UserID
}

func newHall(b *testing.B, s store.Store, users, convs, members int) *hall {
	b.Helper()
	h := &hall{b: b, s: s}
	ctx := context.Background()
	for range users {
		u, err := s.CreateUser(ctx, newUser(unique("bench")), nil)
		if err != nil {
			b.Fatal(err)
		}
		h.users = append(h.users, u.ID)
	}
	for i := range convs {
		var in []chat.UserID
		for k := range members {
			in = append(in, h.users[(i*members+k)%users])
		}
		c, err := s.CreateConversation(ctx, store.NewConversation{Kind: chat.Group, Title: "bench", By: in[0], Members: in[1:]})
		if err != nil {
			b.Fatal(err)
		}
		h.convs, h.in = append(h.convs, c.Conversation.ID), append(h.in, in)
	}
	return h
}

// batch is new messages all over the conversations.
func (h *hall) batch(n int) []chat.Submission {
	out := make([]chat.Submission, n)
	for i := range out {
		c := rand.IntN(len(h.convs))
		out[i] = submission(h.convs[c], h.in[c][rand.IntN(len(h.in[c]))], benchBody)
	}
	return out
}

func (h *hall) append(batch []chat.Submission) {
	out, err := h.s.Append(context.Background(), batch)
	if err != nil {
		h.b.Fatal(err)
	}
	for i := range out {
		if out[i].Verdict != chat.Stored {
			h.b.Fatalf("not stored: %+v", out[i])
		}
	}
}

// messages reports what a user of the store asks: messages per second.
func (h *hall) messages(n int) {
	h.b.ReportMetric(float64(n)/h.b.Elapsed().Seconds(), "msg/s")
}

func benchAppend(b *testing.B, s store.Store, size int) {
	h := newHall(b, s, benchUsers, benchConversations, 10)
	batches := make([][]chat.Submission, 0, 64)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		if len(batches) == 0 {
			b.StopTimer()
			for range cap(batches) {
				batches = append(batches, h.batch(size))
			}
			b.StartTimer()
		}
		h.append(batches[len(batches)-1])
		batches = batches[:len(batches)-1]
		n += size
	}
	h.messages(n)
}

// benchCallers is many callers with one message each: group commit.
func benchCallers(b *testing.B, s store.Store, callers int) {
	h := newHall(b, s, benchUsers, benchConversations, 10)
	b.SetParallelism(max(1, callers/runtime.GOMAXPROCS(0)))
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			h.append(h.batch(1))
		}
	})
	h.messages(b.N)
}

// benchStored shows what an insert and a page cost beside so many messages that
// are stored already: STORED of them (10000000), and a tenth and a hundredth of
// that before, in one store that fills. It does nothing without STORED, because filling takes minutes.
func benchStored(b *testing.B, open func(tb testing.TB) Harness) {
	b.Helper()
	most, err := strconv.Atoi(os.Getenv("STORED"))
	if err != nil {
		return
	}
	h := newHall(b, open(b).Store, benchUsers, benchConversations, 10)
	stored := 0
	for _, n := range []int{most / 100, most / 10, most} {
		for ; stored < n; stored += 2000 {
			h.append(h.batch(min(n-stored, 2000)))
		}
		b.Run(fmt.Sprintf("Stored/n=%d/append=50", n), func(b *testing.B) {
			h := *h
			h.b = b
			for b.Loop() {
				h.append(h.batch(50))
			}
		})
		per := int64(n / benchConversations)
		page := func(from func() int64) func(b *testing.B) {
			return func(b *testing.B) {
				for b.Loop() {
					c := rand.IntN(len(h.convs))
					first := from()
					m, err := h.s.History(context.Background(), h.convs[c], h.in[c][0], first, first+100, false, 50)
					if err != nil || len(m) != 50 {
						b.Fatalf("%d messages, %v", len(m), err)
					}
				}
			}
		}
		b.Run(fmt.Sprintf("Stored/n=%d/page=newest", n), page(func() int64 { return per - max(per/10, 60) }))
		b.Run(fmt.Sprintf("Stored/n=%d/page=anywhere", n), page(func() int64 { return rand.Int64N(max(1, per-per/10-60)) + 1 }))
	}
}

func benchHistory(b *testing.B, s store.Store, stored int) {
	h := newHall(b, s, benchUsers, benchConversations, 10)
	for left := stored; left > 0; left -= 2000 {
		h.append(h.batch(min(left, 2000)))
	}
	per := int64(stored / benchConversations)
	for b.Loop() {
		c := rand.IntN(len(h.convs))
		to := 1 + rand.Int64N(per)
		if _, err := s.History(context.Background(), h.convs[c], h.in[c][0], 1, to, true, 50); err != nil {
			b.Fatal(err)
		}
	}
}

func benchChanged(b *testing.B, s store.Store, convs int) {
	h := newHall(b, s, 10, convs, 10)
	for range convs {
		h.append(h.batch(100))
	}
	for b.Loop() {
		page, _, _, _, err := s.Changed(context.Background(), h.users[0], "", 100)
		if err != nil || len(page) != convs {
			b.Fatal(len(page), err)
		}
	}
}

func benchHeads(b *testing.B, s store.Store, convs int) {
	h := newHall(b, s, 10, convs, 10)
	for b.Loop() {
		if _, err := s.Heads(context.Background(), h.users); err != nil {
			b.Fatal(err)
		}
	}
}

func benchMark(b *testing.B, s store.Store) {
	h := newHall(b, s, 10, 1, 10)
	for range 100 {
		h.append(h.batch(2000))
	}
	at := int64(0)
	for b.Loop() {
		if at++; at > 200_000 {
			b.Fatal("more marks than messages")
		}
		if _, moved, err := s.Mark(context.Background(), h.convs[0], h.users[0], at, at); err != nil || !moved {
			b.Fatal(moved, err)
		}
	}
}
