package cluster

import (
	"strings"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/client"
	"github.com/hikyaku-chat/hikyaku/internal/talktest"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// People who were made in bulk talk through nginx. When their batch is removed
// while messages of theirs wait in the queues, those end as dead letters, and
// everybody else talks on.
func TestBatches(t *testing.T) {
	s := cluster(t)
	boss, other := s.register(t), s.register(t)
	must(t, s.Postgres.Exec(t.Context(), "hikyaku", `UPDATE users SET admin = true WHERE id = `+boss.Me().ID.String()))
	code, token := s.run(t, nil, "user", "token", boss.Me().Name)
	if code != 0 {
		t.Fatalf("user token: %d\n%s", code, token)
	}
	admin := boss.WithToken(strings.TrimSpace(token))
	const batch = "bench-cluster"
	names := make([]string, 100)
	for i := range names {
		names[i] = batch + "-" + string(rune('a'+i/10)) + string(rune('a'+i%10))
	}
	people, err := admin.AddBatchUsers(t.Context(), batch, names)
	must(t, err)
	pair := []chat.UserID{people[0].Me().ID, people[1].Me().ID}
	var hall []chat.UserID
	for _, p := range people {
		hall = append(hall, p.Me().ID)
	}
	rooms, err := admin.AddBatchRooms(t.Context(), batch, []client.BatchRoom{
		{Kind: chat.Direct, Members: pair}, {Kind: chat.Group, Title: "hall", Members: hall},
	})
	must(t, err)
	apart, err := boss.CreateGroup(t.Context(), "apart", other.Me().ID)
	must(t, err)

	one, two, bystander := connectTo(t, s, people[0]), connectTo(t, s, people[1]), connectTo(t, s, other)
	one.Post(rooms[0].ID, "to one")
	awaitBody(two, "to one")
	one.Post(rooms[1].ID, "to all")
	awaitBody(two, "to all")

	workers := s.Members("worker")
	for _, w := range workers {
		stopped(t, w)
	}
	one.Post(rooms[1].ID, "too late")
	talktest.Await[wire.Accepted](one, "accepted", nil)
	sum, err := admin.RemoveBatch(t.Context(), batch, nil)
	must(t, err)
	if sum.Accounts != len(people) || sum.Conversations != 2 || sum.Messages != 2 {
		t.Errorf("removed: %+v", sum)
	}
	if code := talktest.CloseCode(t, one); code != wire.CloseRevoked {
		t.Errorf("a socket of the batch was closed with %d", code)
	}
	for _, w := range workers {
		must(t, w.Start(t.Context()))
	}
	connectTo(t, s, boss).Post(apart.ID, "still here")
	awaitBody(bystander, "still here")
	for deadline := time.Now().Add(patience); ; {
		code, out := s.run(t, nil, "deadletter", "list")
		if code == 0 && strings.Contains(out, rooms[1].ID.String()) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the message is no dead letter: %d\n%s", code, out)
		}
	}
}
