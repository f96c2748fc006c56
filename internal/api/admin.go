package api

import (
	"context"
	"net/http"
	"strings"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

func (a *API) registerInvitations() {
	const tag = "Administration"
	handle(a, operation{id: "list-invitations", method: http.MethodGet, path: "/invitations", tag: tag, summary: "Invitations to register that can be used"},
		func(ctx context.Context, _ *empty) (*body[items[Invitation]], error) {
			if err := requireAdmin(ctx); err != nil {
				return nil, err
			}
			all, err := a.cfg.Store.Invitations(ctx, a.cfg.Now())
			if err != nil {
				return nil, err
			}
			out := &body[items[Invitation]]{items[Invitation]{Items: []Invitation{}}}
			for _, i := range all {
				out.Body.Items = append(out.Body.Items, a.invitationOf(i))
			}
			return out, nil
		})
	handle(a, operation{id: "create-invitation", method: http.MethodPost, path: "/invitations", tag: tag, summary: "Invite people to register", status: http.StatusCreated},
		func(ctx context.Context, in *body[newInvitation]) (*body[Invitation], error) {
			if err := requireAdmin(ctx); err != nil {
				return nil, err
			}
			i, token := a.makeInvitation(ctx, in.Body)
			i, err := a.cfg.Store.CreateInvitation(ctx, i)
			if err != nil {
				return nil, err
			}
			out := a.invitationOf(i)
			out.Token, out.URL = token, "/register#"+token
			return &body[Invitation]{out}, nil
		})
	handle(a, operation{id: "delete-invitation", method: http.MethodDelete, path: "/invitations/{id}", tag: tag, summary: "End an invitation", status: http.StatusNoContent},
		func(ctx context.Context, in *struct {
			ID int64 `path:"id"`
		},
		) (*empty, error) {
			if err := requireAdmin(ctx); err != nil {
				return nil, err
			}
			return &empty{}, a.cfg.Store.DeleteInvitation(ctx, in.ID)
		})
}

func (a *API) registerAdmin() {
	const tag = "Administration"
	handle(a, operation{id: "list-accounts", method: http.MethodGet, path: "/admin/users", tag: tag, summary: "All accounts"},
		func(ctx context.Context, in *struct {
			Paging
			NameQuery
		},
		) (*body[items[wire.User]], error) {
			if err := requireAdmin(ctx); err != nil {
				return nil, err
			}
			after := ""
			if in.Cursor != "" {
				if err := a.cfg.Cursors.Open("accounts", callerID(ctx), in.Cursor, &after); err != nil {
					return nil, err
				}
			}
			all, err := a.cfg.Store.AllUsers(ctx, strings.TrimSpace(in.Q), after, in.Limit+1)
			if err != nil {
				return nil, err
			}
			out := &body[items[wire.User]]{items[wire.User]{Items: []wire.User{}}}
			if len(all) > in.Limit {
				all = all[:in.Limit]
				out.Body.Next = a.cfg.Cursors.Seal("accounts", callerID(ctx), all[len(all)-1].Name)
			}
			for _, u := range all {
				out.Body.Items = append(out.Body.Items, wire.UserOf(u))
			}
			return out, nil
		})
	handle(a, operation{id: "update-account", method: http.MethodPatch, path: "/admin/users/{id}", tag: tag, summary: "Make an account an administrator's, or lock it"}, a.updateAccount)
}

func (a *API) updateAccount(ctx context.Context, in *struct {
	ID   userParam `path:"id"`
	Body struct {
		Admin    *bool `json:"admin,omitempty"`
		Disabled *bool `json:"disabled,omitempty" doc:"true also logs all devices out"`
	}
},
) (*body[wire.User], error) {
	if err := requireAdmin(ctx); err != nil {
		return nil, err
	}
	if in.ID.v == callerID(ctx) {
		return nil, chat.Refuse(chat.CodeForbidden, "account", "administrators cannot lock themselves out; ask another one")
	}
	sessions, err := a.cfg.Store.SessionsOf(ctx, in.ID.v)
	if err != nil {
		return nil, err
	}
	u, err := a.cfg.Store.UpdateUser(ctx, in.ID.v, store.UserChange{Admin: in.Body.Admin, Disabled: in.Body.Disabled})
	if err != nil {
		return nil, err
	}
	if u.Disabled {
		ids := make([]chat.SessionID, len(sessions))
		for i, s := range sessions {
			ids[i] = s.ID
		}
		a.cfg.Announcer.SessionsEnded(ctx, in.ID.v, ids)
	}
	return &body[wire.User]{wire.UserOf(u)}, nil
}
