package gateway

import (
	"testing"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

// BenchmarkSend measures a session's send that needs no look-up, with a broker
// that confirms at once.
func BenchmarkSend(b *testing.B) {
	st := &stubStore{members: func() ([]chat.UserID, int64, error) { return []chat.UserID{1}, 1, nil }}
	g := newTestGateway(b, st, func(_ chat.Submission, confirm func(error)) { confirm(nil) })
	if _, err := g.members.load(b.Context(), conversation); err != nil {
		b.Fatal(err)
	}
	g.limitSends(b, 1e9, 1e8)
	s := newTestSession(b, g, 1)
	f := newSend("hello")
	b.ReportAllocs()
	arrival := int64(0)
	for b.Loop() {
		arrival++
		if !s.sendInline(f, arrival) {
			b.Fatal("the send needs a look-up")
		}
	}
}
