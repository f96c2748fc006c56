package api

import (
	"context"
	"net/http"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// Session is a device that is logged in.
type Session struct {
	ID        chat.SessionID `json:"id"`
	Device    string         `json:"device"`
	CreatedAt wire.Millis    `json:"created_at"`
	SeenAt    wire.Millis    `json:"seen_at"`
	Current   bool           `json:"current" doc:"the one that asks"`
}

type clearedCookie struct {
	SetCookie string `header:"Set-Cookie"`
}

func (a *API) registerSessions() {
	handle(a, operation{id: "logout", method: http.MethodPost, path: "/logout", tag: "Sessions", summary: "End this session", status: http.StatusNoContent},
		func(ctx context.Context, _ *empty) (*clearedCookie, error) {
			c := callerOf(ctx)
			out := &clearedCookie{SetCookie: a.cookie("", requestOf(ctx))}
			return out, a.endSessions(ctx, c.user.ID, []chat.SessionID{c.session.ID}, 0)
		})
	handle(a, operation{id: "list-sessions", method: http.MethodGet, path: "/sessions", tag: "Sessions", summary: "The devices that are logged in"},
		func(ctx context.Context, _ *empty) (*body[items[Session]], error) {
			c := callerOf(ctx)
			all, err := a.cfg.Store.SessionsOf(ctx, c.user.ID)
			if err != nil {
				return nil, err
			}
			out := &body[items[Session]]{items[Session]{Items: []Session{}}}
			for _, s := range all {
				out.Body.Items = append(out.Body.Items, Session{
					ID: s.ID, Device: s.Device, CreatedAt: wire.MillisOf(s.CreatedAt), SeenAt: wire.MillisOf(s.SeenAt), Current: s.ID == c.session.ID,
				})
			}
			return out, nil
		})
	handle(a, operation{id: "end-session", method: http.MethodDelete, path: "/sessions/{id}", tag: "Sessions", summary: "Log a device out", status: http.StatusNoContent},
		func(ctx context.Context, in *struct {
			ID sessionParam `path:"id"`
		},
		) (*clearedCookie, error) {
			c := callerOf(ctx)
			out := &clearedCookie{}
			if in.ID.v == c.session.ID {
				out.SetCookie = a.cookie("", requestOf(ctx))
			}
			return out, a.endSessions(ctx, c.user.ID, []chat.SessionID{in.ID.v}, 0)
		})
}

// endSessions ends the given sessions of a user, or all except keep when ids is
// nil, and closes their connections.
func (a *API) endSessions(ctx context.Context, user chat.UserID, ids []chat.SessionID, keep chat.SessionID) error {
	ended, err := a.cfg.Store.DeleteSessions(ctx, user, ids, keep)
	if err != nil {
		return err
	}
	if len(ids) > 0 && len(ended) == 0 {
		return chat.NotFound("session")
	}
	a.cfg.Announcer.SessionsEnded(ctx, user, ended)
	return nil
}
