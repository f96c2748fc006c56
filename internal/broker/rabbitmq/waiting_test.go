package rabbitmq

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

// Whatever comes, is taken, and is over: what is taken are the oldest parts of
// conversations that are in no call, and free says how many there are.
func TestWaitingParts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w waitingParts
		var want []part // in order of arrival
		var calls [][]chat.ConversationID
		inCall := func(p part) bool {
			return slices.ContainsFunc(calls, func(c []chat.ConversationID) bool { return slices.Contains(c, p.conversation()) })
		}
		channels := []*channel{{}, {}}
		n := 0
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				n++
				s := chat.Submission{Conversation: chat.ConversationID(rapid.IntRange(1, 4).Draw(t, "conversation")), ReplyTo: int64(n)}
				p := part{item: &item{from: channels[rapid.IntRange(0, 1).Draw(t, "channel")], submissions: []chat.Submission{s}}}
				w.add(p)
				want = append(want, p)
			},
			"take": func(t *rapid.T) {
				limit := rapid.IntRange(0, 5).Draw(t, "limit")
				var taken, left []part
				for _, p := range want {
					if len(taken) < limit && !inCall(p) {
						taken = append(taken, p)
					} else {
						left = append(left, p)
					}
				}
				got := w.take(limit)
				if !slices.Equal(got, taken) {
					t.Fatalf("%d parts are taken, want %d, or others", len(got), len(taken))
				}
				want = left
				calls = append(calls, w.begin(got))
			},
			"end": func(t *rapid.T) {
				if len(calls) == 0 {
					t.Skip("no call")
				}
				at := rapid.IntRange(0, len(calls)-1).Draw(t, "call")
				w.end(calls[at])
				calls = slices.Delete(calls, at, at+1)
			},
			"remove": func(t *rapid.T) {
				gone := channels[rapid.IntRange(0, 1).Draw(t, "channel")]
				of := func(p part) bool { return p.item.from == gone }
				w.remove(of)
				want = slices.DeleteFunc(want, of)
			},
			"": func(t *rapid.T) {
				free := 0
				for _, p := range want {
					if !inCall(p) {
						free++
					}
				}
				if !slices.Equal(w.parts, want) || w.free != free {
					t.Fatalf("%d parts wait, %d of them free; want %d and %d", len(w.parts), w.free, len(want), free)
				}
			},
		})
	})
}
