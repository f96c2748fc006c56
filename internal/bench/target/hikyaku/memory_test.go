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

// BenchmarkIdlePerson shows the memory of a person who is connected and hears
// nothing, beside that of the socket.
func BenchmarkIdlePerson(b *testing.B) {
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
			perPerson(b, func(s *site, i int) *conn {
				s.views[i].state = syncstate.New(syncstate.Options{Patient: true})
				c := &conn{site: s, view: &s.views[i], ready: make(chan struct{}), synced: make(chan struct{})}
				c.view.connected(1)
				c.view.state.Handle(now, "synced", raw)
				return c
			})
		})
	}
}

// perPerson reports the heap that people hold.
func perPerson(b *testing.B, connect func(*site, int) *conn) {
	b.Helper()
	const people = 10_000
	var before, after runtime.MemStats
	for b.Loop() {
		runtime.GC()
		runtime.ReadMemStats(&before)
		s := &site{views: make([]view, people)}
		conns := make([]*conn, people)
		for i := range conns {
			conns[i] = connect(s, i)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		runtime.KeepAlive(conns)
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/people, "B/person")
}
