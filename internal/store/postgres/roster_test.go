package postgres_test

import (
	"fmt"
	"testing"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store/postgres"
)

// More people write in a large room than the store remembers the roles of. It
// forgets roles in the midst of a batch, and refuses no member for it.
func TestMoreSendersThanRolesRemembered(t *testing.T) {
	const remembered, parts = 4096, 9
	s := openAt(t, postgres.Config{URL: migrated(t)})
	var members []chat.UserID
	for i := range chat.SmallConversation + 6 {
		members = append(members, addUser(t, s, fmt.Sprintf("user%d", i)))
	}
	c := addGroup(t, s, members[0], members[1:]...)
	known, unknown := members[1], members[2]
	send(t, s, c, known, "from now on the role is remembered")
	// Strangers are remembered, too; with them there is room for no more.
	for part := range parts {
		var batch []chat.Submission
		for i := range (remembered - 1) / parts {
			batch = append(batch, submission(c, chat.UserID(1_000_000+part*1000+i), "from a stranger"))
		}
		out, err := s.Append(t.Context(), batch)
		if err != nil {
			t.Fatal(err)
		}
		for i := range out {
			if out[i].Refusal == nil {
				t.Fatalf("a stranger's message was stored: %+v", out[i])
			}
		}
	}
	out, err := s.Append(t.Context(), []chat.Submission{submission(c, known, "remembered"), submission(c, unknown, "asked for"), submission(c, 1, "from a stranger")})
	if err != nil {
		t.Fatal(err)
	}
	for i, member := range []bool{true, true, false} {
		if member != (out[i].Verdict == chat.Stored) {
			t.Errorf("message %d, of a member: %v; verdict %v, refusal %v", i, member, out[i].Verdict, out[i].Refusal)
		}
	}
}
