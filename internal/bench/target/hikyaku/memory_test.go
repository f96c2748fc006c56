package hikyaku

import (
	"encoding/json"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/syncclient/syncstate"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// BenchmarkIdleUser measures the memory of a user who is connected and receives
// nothing, beside that of the socket.
func BenchmarkIdleUser(b *testing.B) {
	for _, rooms := range []int{1, 10} {
		b.Run(fmt.Sprintf("rooms=%d", rooms), func(b *testing.B) {
			list := wire.Synced{T: "synced", ID: "1", Cursor: "cursor"}
			for room := range rooms {
				list.Conversations = append(list.Conversations, wire.Summary{
					Conversation: wire.Conversation{ID: chat.ConversationID(room + 1), Kind: chat.Group, Rev: 10}, Role: chat.Member,
				})
			}
			raw, err := json.Marshal(list)
			if err != nil {
				b.Fatal(err)
			}
			now := time.Now()
			perUser(b, func(s *site, i int) *conn {
				s.states[i].machine = syncstate.New(syncstate.Options{})
				c := &conn{site: s, sync: &s.states[i], synced: make(chan struct{})}
				c.connected(1, "")
				c.sync.machine.Handle(now, "synced", raw)
				return c
			})
		})
	}
}

// perUser reports the heap that users hold.
func perUser(b *testing.B, connect func(*site, int) *conn) {
	b.Helper()
	const users = 10_000
	var before, after runtime.MemStats
	for b.Loop() {
		runtime.GC()
		runtime.ReadMemStats(&before)
		s := &site{states: make([]syncState, users)}
		conns := make([]*conn, users)
		for i := range conns {
			conns[i] = connect(s, i)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		runtime.KeepAlive(conns)
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/users, "B/user")
}
