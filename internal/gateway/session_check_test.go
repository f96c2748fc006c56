package gateway

import (
	"context"
	"slices"
	"testing"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// Every connection is looked at once in a round, and a round has the same steps
// however many there are. A look-up has as many as it may, or its share.
func TestSessionChecksAreSpread(t *testing.T) {
	for _, n := range []int{0, 1, 7, 20_000} {
		h := newHub()
		for i := range n {
			h.add(&session{user: chat.UserID(i / 3)})
		}
		checks := sessionChecks{hub: h}
		for round := range 2 {
			seen := map[*session]bool{}
			for range sessionCheckSteps {
				step := checks.next()
				if share := max((n+sessionCheckSteps-1)/sessionCheckSteps, sessionCheckBatch); len(step) != min(share, n-len(seen)) {
					t.Errorf("%d of %d sessions in a step", len(step), n)
				}
				for _, s := range step {
					seen[s] = true
				}
			}
			if len(seen) != n {
				t.Errorf("round %d: %d of %d sessions", round, len(seen), n)
			}
		}
	}
}

// endedStore is a store in which some sessions have ended.
type endedStore struct {
	Store
	ended, asked []chat.SessionID
}

func (e *endedStore) EndedSessions(_ context.Context, ids []chat.SessionID) ([]chat.SessionID, error) {
	e.asked = append(e.asked, ids...)
	return slices.DeleteFunc(slices.Clone(ids), func(id chat.SessionID) bool { return !slices.Contains(e.ended, id) }), nil
}

func TestEndedSessionsAreCutOff(t *testing.T) {
	g := newTestGateway(t, &stubStore{}, nil)
	st := &endedStore{ended: []chat.SessionID{30, 10}}
	g.deps.Store = st
	var sessions []*session
	var clients []interface{ Read([]byte) (int, error) }
	for _, id := range []chat.SessionID{10, 20, 30} {
		s, conn := connectTestSession(t, g, 1)
		s.id = id
		sessions, clients = append(sessions, s), append(clients, conn)
	}
	g.closeEnded(sessions)
	if !slices.Equal(st.asked, []chat.SessionID{10, 20, 30}) {
		t.Errorf("asked for %v", st.asked)
	}
	for _, i := range []int{0, 2} {
		b := make([]byte, 64)
		n, err := clients[i].Read(b)
		if err != nil || n < 4 || b[0] != 0x88 || int(b[2])<<8|int(b[3]) != wire.CloseRevoked {
			t.Errorf("the client of session %d gets % x (%v), not a close frame", sessions[i].id, b[:n], err)
		}
	}
	sessions[1].push(struct{}{})
	b := make([]byte, 64)
	if n, err := clients[1].Read(b); err != nil || string(b[2:n]) != "{}" {
		t.Errorf("a session that goes on gets % x (%v)", b[:n], err)
	}
}
