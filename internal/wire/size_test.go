package wire

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

// Pages are cut by these sizes: too low a size would let a page grow, a size far
// too high would make pages small.
func TestMaxSize(t *testing.T) {
	text := rapid.OneOf(rapid.String(), rapid.Just("<&>\u2028\u2029\x00\x01\x7f\"\\\b\f\r\t\n\xff飛"), rapid.StringMatching(`[a-z<"]{0,600}`))
	number := rapid.OneOf(rapid.Int64Range(0, 5), rapid.Just[int64](math.MaxInt64))
	rapid.Check(t, func(t *rapid.T) {
		n := number.Draw(t, "number")
		at := time.UnixMilli(number.Draw(t, "time"))
		m := chat.Message{
			ID: chat.MessageID(n), Conversation: chat.ConversationID(n), Seq: n, Rev: n, Sender: chat.UserID(n), ReplyTo: n,
			Body: text.Draw(t, "body"), At: at, EditedAt: at, DeletedAt: at,
		}
		message := MessageOf(&m)
		checkSize(t, "message", message, message.MaxSize(), messageBytes)
		if size, want := stringSize(m.Body), len(appendString(nil, m.Body))-2; size != want {
			t.Fatalf("%q is %d bytes in JSON, counted as %d", m.Body, want, size)
		}
		s := chat.Summary{
			Conversation: chat.Conversation{
				ID: chat.ConversationID(n), Kind: chat.Channel, Title: text.Draw(t, "title"), Topic: text.Draw(t, "topic"),
				Seq: n, Rev: n, MembersRev: n, Members: int(n), CreatedAt: at, ActiveAt: at,
			},
			Role: chat.Member, Read: n, Unread: n, PeerRead: n, PeerReceived: n, OthersRead: n,
		}
		if rapid.Bool().Draw(t, "has a last message") {
			s.Last = &m
		}
		var peer *chat.User
		if rapid.Bool().Draw(t, "has a peer") {
			peer = &chat.User{ID: chat.UserID(n), Name: text.Draw(t, "name"), DisplayName: text.Draw(t, "display name"), Admin: true, Disabled: true}
		}
		summary := SummaryOf(&s, peer)
		checkSize(t, "summary", summary, summary.MaxSize(), messageBytes+summaryBytes+userBytes)
		gone := chat.ConversationID(n)
		checkSize(t, "gone", gone, GoneBytes, GoneBytes)
	})
}

// checkSize checks that size is that of v and at most slack more, with a comma.
func checkSize(t *rapid.T, what string, v any, size, slack int) {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(b) + 1; n > size || n < size-slack {
		t.Fatalf("%s of %d bytes, at most %d are announced: %s", what, n, size, b)
	}
}
