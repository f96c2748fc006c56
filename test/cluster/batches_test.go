package cluster

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hikyaku-chat/hikyaku/internal/acceptance"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/client"
	"github.com/hikyaku-chat/hikyaku/internal/eventually"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
	"github.com/hikyaku-chat/hikyaku/test/cluster/clustertest"
)

// Users who were created in bulk send through nginx. When their batch is removed
// while messages of theirs wait in the queues, those end as dead letters, and
// everybody else goes on.
func TestBatches(t *testing.T) {
	s := clustertest.Shared(t)
	boss, other := s.Register(t), s.Register(t)
	clustertest.NoError(t, s.Postgres.Exec(t.Context(), "hikyaku", `UPDATE users SET admin = true WHERE id = `+boss.Me().ID.String()))
	code, token := s.Command(t, nil, "user", "token", boss.Me().Name)
	if code != 0 {
		t.Fatalf("user token: %d\n%s", code, token)
	}
	admin := boss.WithToken(strings.TrimSpace(token))
	const batch = "bench-cluster"
	names := make([]string, 100)
	for i := range names {
		names[i] = batch + "-" + string(rune('a'+i/10)) + string(rune('a'+i%10))
	}
	users, err := admin.AddBatchUsers(t.Context(), batch, names)
	clustertest.NoError(t, err)
	pair := []chat.UserID{users[0].Me().ID, users[1].Me().ID}
	var hall []chat.UserID
	for _, p := range users {
		hall = append(hall, p.Me().ID)
	}
	rooms, err := admin.AddBatchRooms(t.Context(), batch, []client.BatchRoom{
		{Kind: chat.Direct, Members: pair}, {Kind: chat.Group, Title: "hall", Members: hall},
	})
	clustertest.NoError(t, err)
	apart, err := boss.CreateGroup(t.Context(), "apart", other.Me().ID)
	clustertest.NoError(t, err)

	one, two, bystander := s.Connect(t, users[0]), s.Connect(t, users[1]), s.Connect(t, other)
	one.SendMessage(rooms[0].ID, "to one")
	clustertest.AwaitBody(two, "to one")
	one.SendMessage(rooms[1].ID, "to all")
	clustertest.AwaitBody(two, "to all")

	workers := s.Members("worker")
	for _, w := range workers {
		clustertest.Stop(t, w)
	}
	one.SendMessage(rooms[1].ID, "too late")
	acceptance.Await[wire.Accepted](one, "accepted", nil)
	sum, err := admin.RemoveBatch(t.Context(), batch, nil)
	clustertest.NoError(t, err)
	if sum.Accounts != len(users) || sum.Conversations != 2 || sum.Messages != 2 {
		t.Errorf("removed: %+v", sum)
	}
	if code := acceptance.CloseCode(t, one); code != wire.CloseRevoked {
		t.Errorf("a socket of the batch was closed with %d", code)
	}
	for _, w := range workers {
		clustertest.NoError(t, w.Start(t.Context()))
	}
	s.Connect(t, boss).SendMessage(apart.ID, "still here")
	clustertest.AwaitBody(bystander, "still here")
	eventually.Nil(t, "the message is a dead letter", func() error {
		code, out := s.Command(t, nil, "deadletter", "list")
		if code != 0 || !strings.Contains(out, rooms[1].ID.String()) {
			return fmt.Errorf("%d\n%s", code, out)
		}
		return nil
	})
}
