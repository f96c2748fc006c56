package postgres_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/stack/stacktest"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/store/postgres"
	"github.com/hikyaku-chat/hikyaku/internal/store/postgres/postgrestest"
)

// A conversation of several months is removed from all of them. A message of a
// detached month keeps its client id, and is refused when it is sent again.
func TestRemovalAcrossPartitions(t *testing.T) {
	url := postgrestest.NewDatabase(t)
	now := time.Date(2026, 10, 15, 0, 0, 0, 0, time.UTC)
	s := postgrestest.Open(t, postgres.Config{URL: url, Now: func() time.Time { return now }})
	in := make([]store.NewBatchUser, 2)
	for i := range in {
		name := fmt.Sprint("guest", i)
		in[i] = store.NewBatchUser{
			NewUser: store.NewUser{Name: name, Skeleton: name, DisplayName: name},
			Session: store.Session{Token: []byte(name), ExpiresAt: now.AddDate(1, 0, 0)},
		}
	}
	made, err := s.CreateBatchUsers(t.Context(), "months", in)
	if err != nil {
		t.Fatal(err)
	}
	u := made[0].User.ID
	c, other := postgrestest.CreateGroup(t, s, u, made[1].User.ID), postgrestest.CreateGroup(t, s, postgrestest.CreateUser(t, s, "someone"), u)
	early := postgrestest.Submission(c, u, "in October")
	out, err := s.Append(t.Context(), []chat.Submission{early})
	if err != nil || out[0].Verdict != chat.Stored {
		t.Fatal(out, err)
	}
	postgrestest.Send(t, s, other, u, "in October")
	for range 3 {
		now = now.AddDate(0, 1, 0)
		for range 5 {
			postgrestest.Send(t, s, c, u, "later")
		}
	}
	server := stacktest.Postgres(t)
	if err := server.Exec(t.Context(), postgrestest.DatabaseName(url), `ALTER TABLE messages DETACH PARTITION messages_2026_10`); err != nil {
		t.Fatal(err)
	}
	messages := 0
	for range 100 {
		step, err := s.RemoveBatch(t.Context(), "months")
		if err != nil {
			t.Fatal(err)
		}
		if messages += step.Messages; step.Done {
			break
		}
	}
	if messages != 15 {
		t.Errorf("%d messages were removed", messages)
	}
	if _, err := s.Audience(t.Context(), c); chat.CodeOf(err) != chat.CodeNotFound {
		t.Errorf("the conversation is there: %v", err)
	}
	out, err = s.Append(t.Context(), []chat.Submission{early})
	if err != nil || out[0].Refusal == nil || out[0].Refusal.Code != chat.CodeNotFound {
		t.Errorf("sent again: %+v, %v", out, err)
	}
	if err := server.Exec(t.Context(), postgrestest.DatabaseName(url), `DO $$ BEGIN
		IF EXISTS (SELECT FROM spans WHERE conversation = `+c.String()+`) OR EXISTS (SELECT FROM messages WHERE conversation = `+c.String()+`)
			OR EXISTS (SELECT FROM batch_conversations) OR (SELECT count(*) FROM sends) <> 2 THEN RAISE 'something is left'; END IF; END $$`); err != nil {
		t.Error(err)
	}
}
