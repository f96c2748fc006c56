package worker

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/hikyaku-chat/hikyaku/internal/broker"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// poisonStore is a store that fails or panics for batches with a poison message.
type poisonStore struct{ stored, refused []string }

func (p *poisonStore) Refuse(_ context.Context, s chat.Submission, refusal *chat.Error) (chat.Outcome, error) {
	p.refused = append(p.refused, s.Body)
	return chat.Outcome{Refusal: refusal}, nil
}

func (p *poisonStore) Append(_ context.Context, batch []chat.Submission) ([]chat.Outcome, error) {
	for _, s := range batch {
		switch {
		case strings.HasPrefix(s.Body, "poison"):
			return nil, fmt.Errorf("append: %w", store.ErrPoison)
		case strings.HasPrefix(s.Body, "bomb"):
			panic("boom")
		}
	}
	outcomes := make([]chat.Outcome, len(batch))
	for i, s := range batch {
		p.stored = append(p.stored, s.Body)
		outcomes[i] = chat.Outcome{Verdict: chat.Stored, Message: chat.Message{Body: s.Body}}
	}
	return outcomes, nil
}

// recordingAnnouncer records what is announced.
type recordingAnnouncer struct{ stored, failed []string }

func (a *recordingAnnouncer) Stored(_ context.Context, outcomes []chat.Outcome, _ func(int) bool) {
	for _, o := range outcomes {
		if o.Verdict != 0 {
			a.stored = append(a.stored, o.Message.Body)
		}
	}
}

func (a *recordingAnnouncer) Failed(_ context.Context, s *chat.Submission, _ *chat.Error) {
	a.failed = append(a.failed, s.Body)
}

// Whatever poison messages are in a batch, the rest is stored in order, and each
// author of a poison message is told.
func TestPoisonMessagesAreIsolated(t *testing.T) {
	for round := range 200 {
		r := rand.New(rand.NewPCG(1, uint64(round)))
		var batch []broker.Delivery
		var good, bad []string
		for i := range 1 + r.IntN(40) {
			body := fmt.Sprint(i)
			switch r.IntN(8) {
			case 0:
				body = "poison" + body
			case 1:
				body = "bomb" + body
			}
			if body[0] >= 'a' {
				bad = append(bad, body)
			} else {
				good = append(good, body)
			}
			batch = append(batch, broker.Delivery{Submission: chat.Submission{Body: body}, Confirmed: true})
		}
		p, a := &poisonStore{}, &recordingAnnouncer{}
		verdicts, err := New(p, a, slog.New(slog.DiscardHandler)).Handle(t.Context(), batch)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(p.stored, good) || !slices.Equal(a.stored, good) || !slices.Equal(a.failed, bad) || !slices.Equal(p.refused, bad) {
			t.Fatalf("round %d: stored %v, announced %v, refused %v, failed %v", round, p.stored, a.stored, p.refused, a.failed)
		}
		for i, v := range verdicts {
			if (v != nil) != slices.Contains(bad, batch[i].Body) {
				t.Fatalf("round %d: %s has the verdict %v", round, batch[i].Body, v)
			}
		}
	}
}

type unavailableStore struct{}

func (unavailableStore) Refuse(context.Context, chat.Submission, *chat.Error) (chat.Outcome, error) {
	return chat.Outcome{}, store.ErrUnavailable
}

func (unavailableStore) Append(context.Context, []chat.Submission) ([]chat.Outcome, error) {
	return nil, store.ErrUnavailable
}

// poisonWhileAway has a poison message, and cannot store anything any more.
type poisonWhileAway struct{ poisonStore }

func (poisonWhileAway) Refuse(context.Context, chat.Submission, *chat.Error) (chat.Outcome, error) {
	return chat.Outcome{}, store.ErrUnavailable
}

// No refusal is announced before it is stored.
func TestRefusalIsStoredFirst(t *testing.T) {
	a := &recordingAnnouncer{}
	poison := broker.Delivery{Submission: chat.Submission{Body: "poison"}, Confirmed: true}
	_, err := New(&poisonWhileAway{}, a, slog.New(slog.DiscardHandler)).Handle(t.Context(), []broker.Delivery{poison})
	if err == nil || len(a.failed) > 0 {
		t.Errorf("%v, failed %v", err, a.failed)
	}
}

// While the store is unavailable, no message is refused.
func TestUnavailableStoreRefusesNothing(t *testing.T) {
	a := &recordingAnnouncer{}
	_, err := New(unavailableStore{}, a, slog.New(slog.DiscardHandler)).Handle(t.Context(), []broker.Delivery{{Confirmed: true}, {Confirmed: true}})
	if err == nil || len(a.failed) > 0 {
		t.Errorf("%v, failed %v", err, a.failed)
	}
}

// heldStore cannot decide about a conversation for some calls, and has poison.
type heldStore struct {
	poisonStore
	held  chat.ConversationID
	calls int // for which it is held
}

func (h *heldStore) Append(ctx context.Context, batch []chat.Submission) ([]chat.Outcome, error) {
	if slices.ContainsFunc(batch, func(s chat.Submission) bool { return strings.HasPrefix(s.Body, "poison") }) {
		return h.poisonStore.Append(ctx, batch)
	}
	h.calls--
	outcomes := make([]chat.Outcome, len(batch))
	for i, s := range batch {
		if s.Conversation == h.held && h.calls >= 0 {
			outcomes[i].Refusal = chat.Refuse(chat.CodeUnavailable, "", "it is held")
			continue
		}
		h.stored = append(h.stored, s.Body)
		outcomes[i] = chat.Outcome{Verdict: chat.Stored, Message: chat.Message{Body: s.Body}}
	}
	return outcomes, nil
}

// What is undecided is not announced, and nothing of its conversation overtakes it
// when the batch is halved because of poison: however long it is held meanwhile.
func TestUndecidedIsNotOvertaken(t *testing.T) {
	for calls := range 6 {
		const held = 7
		var batch []broker.Delivery
		for i := range 12 {
			c, body := chat.ConversationID(i%2), fmt.Sprint(i)
			if c == 1 {
				c = held
			}
			if i == 6 {
				body = "poison" + body
			}
			batch = append(batch, broker.Delivery{Submission: chat.Submission{Conversation: c, Body: body}, Confirmed: true})
		}
		h, a := &heldStore{held: held, calls: calls}, &recordingAnnouncer{}
		verdicts, err := New(h, a, slog.New(slog.DiscardHandler)).Handle(t.Context(), batch)
		if err != nil {
			t.Fatal(err)
		}
		undecided := false
		for i, d := range batch {
			switch {
			case d.Conversation == held:
				if chat.Undecided(verdicts[i]) {
					undecided = true
				} else if undecided {
					t.Errorf("held for %d calls: %s is stored before one that precedes it", calls, d.Body)
				}
			case (verdicts[i] != nil) != strings.HasPrefix(d.Body, "poison"):
				t.Errorf("%s has the verdict %v", d.Body, verdicts[i])
			}
		}
		if undecided != (calls > 0) || !slices.Equal(a.failed, []string{"poison6"}) || !slices.Equal(a.stored, h.stored) {
			t.Errorf("held for %d calls: undecided %v, failed %v, stored %v, announced %v", calls, undecided, a.failed, h.stored, a.stored)
		}
	}
}
