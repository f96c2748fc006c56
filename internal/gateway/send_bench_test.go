package gateway

import (
	"testing"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

// BenchmarkSend is a session's share of a send for which memory is enough, with
// a broker that confirms at once.
func BenchmarkSend(b *testing.B) {
	st := &answers{members: func() ([]chat.UserID, int64, error) { return []chat.UserID{1}, 1, nil }}
	g := gatewayOf(b, st, func(_ chat.Submission, confirm func(error)) { confirm(nil) })
	if _, err := g.rooms.load(b.Context(), conversation); err != nil {
		b.Fatal(err)
	}
	g.limit(1e9, 1e8)
	s := sessionOf(b, g, 1)
	f := sendOf("hello")
	b.ReportAllocs()
	arrival := int64(0)
	for b.Loop() {
		arrival++
		if !s.trySend(f, arrival) {
			b.Fatal("something was to be looked up")
		}
	}
}
