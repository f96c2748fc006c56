package postgres_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/stack/stacktest"
	"github.com/hikyaku-chat/hikyaku/internal/store/postgres"
	"github.com/hikyaku-chat/hikyaku/internal/store/postgres/postgrestest"
)

// Messages of several months: pages, changes and duplicates span months, and the
// client ids of a detached month are still known.
func TestPartitions(t *testing.T) {
	url := postgrestest.NewDatabase(t)
	now := time.Date(2026, 10, 31, 23, 59, 0, 0, time.UTC)
	s := postgrestest.Open(t, postgres.Config{URL: url, Now: func() time.Time { return now }})
	u := postgrestest.CreateUser(t, s, "someone")
	c := postgrestest.CreateGroup(t, s, u)
	first := postgrestest.Submission(c, u, "the very first")
	if _, err := s.Append(t.Context(), []chat.Submission{first}); err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		if i%10 == 9 {
			now = now.AddDate(0, 1, 0)
		}
		if i == 25 {
			now = now.AddDate(0, -2, 0) // a worker whose clock is behind
		}
		postgrestest.Send(t, s, c, u, fmt.Sprint(i))
	}
	if _, err := s.EditMessage(t.Context(), c, 3, u, "edited"); err != nil {
		t.Fatal(err)
	}
	for _, limit := range []int{1, 7, 100} {
		for _, backward := range []bool{false, true} {
			var got []int64
			for from, to := int64(1), int64(41); from <= to; {
				page, err := s.History(t.Context(), c, u, from, to, backward, limit)
				if err != nil {
					t.Fatal(err)
				}
				for _, m := range page.Messages {
					got = append(got, m.Seq)
				}
				if backward {
					to = page.Messages[0].Seq - 1
				} else {
					from = page.Messages[len(page.Messages)-1].Seq + 1
				}
			}
			if len(got) != 41 {
				t.Errorf("limit %d, backward %v: %d messages", limit, backward, len(got))
			}
		}
	}
	changes, _, err := s.Changes(t.Context(), c, u, 0, 1000)
	if err != nil || len(changes) != 41 || changes[40].Body != "edited" {
		t.Errorf("changes: %d, %v", len(changes), err)
	}
	if err := stacktest.Postgres(t).Exec(t.Context(), postgrestest.DatabaseName(url), `ALTER TABLE messages DETACH PARTITION messages_2026_10`); err != nil {
		t.Fatal(err)
	}
	out, err := s.Append(t.Context(), []chat.Submission{first})
	if err != nil || out[0].Verdict != chat.Duplicate || out[0].Message.Seq != 1 || !out[0].Message.Deleted() {
		t.Errorf("sent again after its month was detached: %+v, %v", out, err)
	}
	page, err := s.History(t.Context(), c, u, 1, 41, true, 5)
	if err != nil || len(page.Messages) != 5 {
		t.Errorf("the newest page after a month was detached: %d, %v", len(page.Messages), err)
	}
}

// A partition that is missing, whoever took it away, is made when it is needed:
// that is not the fault of the messages.
func TestMissingPartition(t *testing.T) {
	url := postgrestest.NewDatabase(t)
	now := time.Date(2026, 10, 15, 0, 0, 0, 0, time.UTC)
	s := postgrestest.Open(t, postgres.Config{URL: url, Now: func() time.Time { return now }})
	u := postgrestest.CreateUser(t, s, "someone")
	c := postgrestest.CreateGroup(t, s, u)
	for _, step := range []struct {
		take   string
		months int // that the clock goes first
		found  int // messages that were not taken away with it
	}{
		{`SELECT`, 0, 0},
		{`ALTER TABLE messages DETACH PARTITION messages_2026_10`, 0, 0},
		{`DROP TABLE messages_2026_10, messages_2026_10_2`, 0, 0},
		{`SELECT`, 1, 1},
		// The conversation stays in November, also when the clock is set back.
		{`DROP TABLE messages_2026_11`, -1, 1},
	} {
		now = now.AddDate(0, step.months, 0)
		if err := stacktest.Postgres(t).Exec(t.Context(), postgrestest.DatabaseName(url), step.take); err != nil {
			t.Fatal(err)
		}
		postgrestest.Send(t, s, c, u, step.take)
		page, err := s.History(t.Context(), c, u, 1, 1<<31, false, 10)
		if err != nil || len(page.Messages) != step.found+1 || page.Messages[step.found].Body != step.take {
			t.Fatalf("after %s in %v: %+v, %v", step.take, now, page, err)
		}
	}
}

// A device that was offline while a month was detached misses nothing of the
// other months, whatever the last change that it saw.
func TestChangesAfterDetach(t *testing.T) {
	url := postgrestest.NewDatabase(t)
	now := time.Date(2026, 10, 15, 0, 0, 0, 0, time.UTC)
	s := postgrestest.Open(t, postgres.Config{URL: url, Now: func() time.Time { return now }})
	u := postgrestest.CreateUser(t, s, "someone")
	c := postgrestest.CreateGroup(t, s, u)
	const detached, all = 40, 50
	edit := func(seq int64, text string) {
		t.Helper()
		if _, err := s.EditMessage(t.Context(), c, seq, u, text); err != nil {
			t.Fatal(err)
		}
	}
	for i := range all {
		if i == detached {
			// Many changes widen the range of the search; changes of many
			// messages fill pages.
			for i := range detached {
				edit(int64(i+1), "edited in October")
			}
			now = now.AddDate(0, 1, 0)
		}
		postgrestest.Send(t, s, c, u, fmt.Sprint(i))
	}
	for i := range 60 {
		edit(all, fmt.Sprint("edit ", i))
	}
	changes := func(rev int64, limit int) []chat.Message {
		t.Helper()
		out, _, err := s.Changes(t.Context(), c, u, rev, limit)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	before := changes(0, 1000)
	if len(before) != all {
		t.Fatalf("%d changes before the month was detached", len(before))
	}
	head := before[all-1].Rev
	if err := stacktest.Postgres(t).Exec(t.Context(), postgrestest.DatabaseName(url), `ALTER TABLE messages DETACH PARTITION messages_2026_10`); err != nil {
		t.Fatal(err)
	}
	for rev := range head {
		var want []int64
		for i := range before {
			if m := &before[i]; m.Seq > detached && m.Rev > rev {
				want = append(want, m.Seq)
			}
		}
		for _, limit := range []int{3, 1000} {
			var got []int64
			for _, m := range changes(rev, limit) {
				got = append(got, m.Seq)
			}
			if !slices.Equal(got, want[:min(limit, len(want))]) {
				t.Errorf("changes after rev %d, at most %d: %v, want %v", rev, limit, got, want)
			}
		}
	}
}
