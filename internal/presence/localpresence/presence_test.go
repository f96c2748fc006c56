package localpresence_test

import (
	"context"
	"testing"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/presence"
	"github.com/hikyaku-chat/hikyaku/internal/presence/localpresence"
	"github.com/hikyaku-chat/hikyaku/internal/presence/presencetest"
)

func TestConformance(t *testing.T) {
	presencetest.Run(t, presencetest.Harness{
		Open: func(*testing.T) (presence.Presence, func()) { return localpresence.New(nil), func() {} },
	})
}

func BenchmarkNodesOf(b *testing.B) {
	p := localpresence.New(nil)
	var users []chat.UserID
	for i := range 200 {
		d := presence.Device{User: chat.UserID(i + 1), Node: "a", ID: int64(i)}
		if _, _, err := p.Attach(context.Background(), d); err != nil {
			b.Fatal(err)
		}
		users = append(users, d.User)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.NodesOf(context.Background(), users); err != nil {
			b.Fatal(err)
		}
	}
}
