package gateway

import (
	"context"
	"slices"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// Sessions that end through the API are announced on the bus, and their
// connections close at once. Those that end otherwise (an operator's command, an
// expiry, an announcement that was lost) are found by polling: some users every
// second, so that the load on the store does not grow with the connections.
const (
	sessionCheckInterval = time.Second
	sessionCheckBatch    = 100
	sessionCheckPause    = 10 // steps of sessionCheckInterval between two rounds
)

func (g *Gateway) checkSessions() {
	tick := time.NewTicker(sessionCheckInterval)
	defer tick.Stop()
	var users []chat.UserID
	pause := sessionCheckPause
	for {
		select {
		case <-g.ctx.Done():
			return
		case <-tick.C:
		}
		if len(users) == 0 {
			if pause--; pause > 0 {
				continue
			}
			users, pause = g.hub.userIDs(), sessionCheckPause
		}
		n := min(len(users), sessionCheckBatch)
		for _, user := range users[:n] {
			g.checkSessionsOf(user)
		}
		users = users[n:]
	}
}

func (g *Gateway) checkSessionsOf(user chat.UserID) {
	ctx, cancel := context.WithTimeout(g.ctx, callTimeout)
	defer cancel()
	// Read first: a session that begins meanwhile must not be checked against a
	// list that is older than the session.
	sessions := g.hub.sessionsOf(user)
	valid, err := g.deps.Store.SessionsOf(ctx, user)
	if err != nil {
		if g.ctx.Err() == nil {
			g.log.Error("sessions could not be looked up", "user", user, "error", err)
		}
		return
	}
	for _, s := range sessions {
		if !slices.ContainsFunc(valid, func(v store.Session) bool { return v.ID == s.id }) {
			s.conn.Close(wire.CloseRevoked, "the session has ended")
		}
	}
}
