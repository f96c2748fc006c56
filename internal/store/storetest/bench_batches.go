package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// benchBatch creates the accounts and conversations of a load test, sends
// messages in each direct conversation, and removes everything.
func benchBatch(b *testing.B, s store.Store, people int) {
	b.Helper()
	ctx := context.Background()
	var err error
	timed := func(what string, n int, do func()) {
		began := time.Now()
		if do(); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(n)/time.Since(began).Seconds(), what+"/s")
	}
	for b.Loop() {
		batch := unique("bench")
		ids := make([]chat.UserID, 0, people)
		timed("accounts", people, func() {
			for len(ids) < people && err == nil {
				in := make([]store.NewBatchUser, min(chat.MaxBatchUsers, people-len(ids)))
				for i := range in {
					in[i] = store.NewBatchUser{NewUser: newUser(unique("bench")), Session: store.Session{Token: token(), ExpiresAt: ms(time.Hour)}}
				}
				var made []store.BatchUser
				made, err = s.CreateBatchUsers(ctx, batch, in)
				for _, m := range made {
					ids = append(ids, m.User.ID)
				}
			}
		})
		var said []chat.Submission
		timed("pairs", people/2, func() {
			for at := 0; at < people && err == nil; at += 1000 {
				var pairs []store.NewConversation
				for i := at; i < min(at+1000, people-1); i += 2 {
					pairs = append(pairs, store.NewConversation{Kind: chat.Direct, By: ids[i], Members: ids[i+1 : i+2]})
				}
				var made []store.Change
				made, err = s.CreateBatchConversations(ctx, batch, pairs)
				for i, c := range made {
					for range 10 {
						said = append(said, submission(c.Conversation.ID, pairs[i].By, benchBody))
					}
				}
			}
		})
		timed("members", people, func() {
			_, err = s.CreateBatchConversations(ctx, batch, []store.NewConversation{{Kind: chat.Group, Title: "bench", By: ids[0], Members: ids}})
		})
		for at := 0; at < len(said) && err == nil; at += 500 {
			_, err = s.Append(ctx, said[at:min(at+500, len(said))])
		}
		longest := time.Duration(0)
		timed("removed_messages", len(said), func() {
			for done := false; !done && err == nil; {
				var step store.Removal
				began := time.Now()
				step, err = s.RemoveBatch(ctx, batch)
				longest, done = max(longest, time.Since(began)), step.Done
			}
		})
		b.ReportMetric(float64(longest.Microseconds())/1000, "longest_step_ms")
	}
}
