package postgres_test

import (
	"fmt"
	"testing"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store/postgres"
	"github.com/hikyaku-chat/hikyaku/internal/store/postgres/postgrestest"
)

// More users write in a large room than the store caches roles of. It drops
// cached roles during a batch, and still refuses no member.
func TestMoreSendersThanCachedRoles(t *testing.T) {
	const cachedRoles, parts = 4096, 9
	s := postgrestest.Open(t, postgres.Config{URL: postgrestest.NewDatabase(t)})
	var members []chat.UserID
	for i := range chat.SmallConversation + 6 {
		members = append(members, postgrestest.CreateUser(t, s, fmt.Sprintf("user%d", i)))
	}
	c := postgrestest.CreateGroup(t, s, members[0], members[1:]...)
	cached, uncached := members[1], members[2]
	postgrestest.Send(t, s, c, cached, "from now on the role is cached")
	// That a user is not a member is cached, too; these fill the cache.
	for part := range parts {
		var batch []chat.Submission
		for i := range (cachedRoles - 1) / parts {
			batch = append(batch, postgrestest.Submission(c, chat.UserID(1_000_000+part*1000+i), "from a non-member"))
		}
		out, err := s.Append(t.Context(), batch)
		if err != nil {
			t.Fatal(err)
		}
		for i := range out {
			if out[i].Refusal == nil {
				t.Fatalf("a message of a non-member was stored: %+v", out[i])
			}
		}
	}
	out, err := s.Append(t.Context(), []chat.Submission{postgrestest.Submission(c, cached, "cached"), postgrestest.Submission(c, uncached, "loaded"), postgrestest.Submission(c, 1, "from a non-member")})
	if err != nil {
		t.Fatal(err)
	}
	for i, member := range []bool{true, true, false} {
		if member != (out[i].Verdict == chat.Stored) {
			t.Errorf("message %d, of a member: %v; verdict %v, refusal %v", i, member, out[i].Verdict, out[i].Refusal)
		}
	}
}
