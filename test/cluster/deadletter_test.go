package cluster

import (
	"strings"
	"testing"

	"github.com/hikyaku-chat/hikyaku/internal/acceptance"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
	"github.com/hikyaku-chat/hikyaku/test/cluster/clustertest"
)

// A message that no worker can store becomes a dead letter, which an operator
// looks at and sends again; those beside it are stored.
func TestDeadLetters(t *testing.T) {
	s := clustertest.Shared(t)
	a, b := s.Register(t), s.Register(t)
	g, err := a.CreateGroup(t.Context(), "Notes", b.Me().ID)
	clustertest.NoError(t, err)
	clustertest.NoError(t, s.Postgres.Exec(t.Context(), "hikyaku", `ALTER TABLE messages ADD CONSTRAINT no_poison CHECK (body <> 'poison') NOT VALID`))
	mended := false
	mend := func() {
		clustertest.NoError(t, s.Postgres.Exec(t.Context(), "hikyaku", `ALTER TABLE messages DROP CONSTRAINT no_poison`))
	}
	defer func() {
		if !mended {
			mend()
		}
	}()
	user := s.Connect(t, a)
	for _, body := range []string{"before", "poison", "after"} {
		user.SendMessage(g.ID, body)
	}
	failure := acceptance.Await[wire.Failed](user, "failed", nil)
	failed := failure.ID
	sent := chat.Submission{Conversation: g.ID, Body: "poison"}
	if failure.Digest != sent.Digest() {
		t.Errorf("it fails with the digest %s, and %s was sent", failure.Digest, sent.Digest())
	}
	clustertest.AwaitBody(user, "after")
	// Whoever has missed the frame hears of it by the next sync.
	user.Send(wire.Sync{T: "sync", ID: "missed"})
	synced := acceptance.Await(user, "synced", func(f wire.Synced) bool { return f.ID == "missed" })
	if len(synced.Failed) != 1 || synced.Failed[0] != failure.Failure {
		t.Errorf("sync lists %+v, and %+v was pushed", synced.Failed, failure.Failure)
	}

	code, out := s.Command(t, nil, "deadletter", "list")
	var letters []string // of this test; others may have left theirs
	for line := range strings.Lines(out) {
		if strings.Contains(line, "cannot be stored") {
			letters = append(letters, line)
		}
	}
	if code != 0 || len(letters) != 1 {
		t.Fatalf("list: %d\n%s", code, out)
	}
	id, _, _ := strings.Cut(letters[0], " ")
	if code, out := s.Command(t, nil, "deadletter", "show", id); code != 0 || !strings.Contains(out, `"body": "poison"`) || !strings.Contains(out, failed.String()) {
		t.Errorf("show: %d\n%s", code, out)
	}
	if code, out := s.Command(t, nil, "deadletter", "show", "nothing"); code == 0 || !strings.Contains(out, "deadletter list") {
		t.Errorf("show another: %d\n%s", code, out)
	}
	mend()
	mended = true
	if code, out := s.Command(t, nil, "deadletter", "requeue", "--all"); code != 0 {
		t.Errorf("requeue: %d\n%s", code, out)
	}
	clustertest.AwaitBody(user, "poison")
	if code, out := s.Command(t, nil, "deadletter", "list"); code != 0 || strings.Contains(out, id) {
		t.Errorf("it is listed still: %d\n%s", code, out)
	}
}
