package chat

import (
	"math/rand/v2"
	"testing"
)

func TestParticipation(t *testing.T) {
	for _, tt := range []struct {
		place         Participation
		closes, parts bool
	}{
		{Participation{Kind: Group}, true, false},
		{Participation{Kind: Direct}, true, false},
		{Participation{Kind: Group, Others: true}, false, true},
		{Participation{Kind: Channel, Others: true}, false, true},
		{Participation{Kind: Direct, Others: true}, false, false},
	} {
		if c, p := tt.place.ClosesConversation(), tt.place.LeavesConversation(); c != tt.closes || p != tt.parts {
			t.Errorf("%+v: closes %v, parts %v", tt.place, c, p)
		}
	}
}

// For any conversations and any work per step: each message is erased once, in
// order, no step exceeds its work, and the erasure ends.
func TestPlanErasure(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 2))
		work := 2 + r.Int64N(20)
		walks := make([]MessageWalk, r.IntN(6))
		steps := 0
		for i := range walks {
			walks[i] = MessageWalk{Conversation: ConversationID(i + 1), Last: r.Int64N(40)}
		}
		for len(walks) > 0 {
			if steps++; steps > 300 {
				t.Fatalf("seed %d: it never ends: %+v", seed, walks)
			}
			plan := PlanErasure(walks, work)
			if len(plan) == 0 || len(plan) > len(walks) {
				t.Fatalf("seed %d: %+v for %+v", seed, plan, walks)
			}
			did := int64(len(plan))
			for i, p := range plan {
				w := &walks[i]
				if p.Conversation != w.Conversation || p.After != w.Seen || p.To < p.After || p.To > w.Last || p.Last != (p.To == w.Last) {
					t.Fatalf("seed %d: %+v of %+v", seed, p, w)
				}
				if !p.Last && i < len(plan)-1 {
					t.Fatalf("seed %d: %+v goes on before %+v has ended", seed, plan[i+1], p)
				}
				w.Seen = p.To
				did += p.To - p.After
			}
			if did > work {
				t.Fatalf("seed %d: a step of %d did %d", seed, work, did)
			}
			last := plan[len(plan)-1]
			if walks = walks[len(plan)-1:]; last.Last {
				walks = walks[1:]
			}
		}
	}
}
