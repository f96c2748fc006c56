package api

import (
	"context"
	"net/http"
	"strings"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// MemberInput has the ids of a conversation and a member.
type MemberInput struct {
	ConversationInput
	User userParam `path:"user"`
}

// Marks are the read and received marks of a member.
type Marks struct {
	Read     int64 `json:"read" minimum:"0"`
	Received int64 `json:"received" minimum:"0"`
}

func (a *API) registerMembers() {
	const tag = "Members"
	handle(a, operation{id: "join-channel", method: http.MethodPost, path: "/conversations/{id}/join", tag: tag, summary: "Join a public channel"},
		func(ctx context.Context, in *ConversationInput) (*body[wire.Summary], error) {
			c, err := a.cfg.Store.Join(ctx, in.ID.v, callerID(ctx))
			if err != nil {
				return nil, err
			}
			a.cfg.Announcer.ConversationChanged(ctx, callerID(ctx), c)
			return a.summary(ctx, in.ID.v)
		})
	handle(a, operation{id: "leave-conversation", method: http.MethodPost, path: "/conversations/{id}/leave", tag: tag, summary: "Leave", status: http.StatusNoContent},
		func(ctx context.Context, in *ConversationInput) (*empty, error) {
			return a.removeMember(ctx, in.ID.v, callerID(ctx))
		})
	handle(a, operation{id: "list-members", method: http.MethodGet, path: "/conversations/{id}/members", tag: tag, summary: "Who is in a conversation"}, a.listMembers)
	handle(a, operation{id: "add-members", method: http.MethodPost, path: "/conversations/{id}/members", tag: tag, summary: "Bring people in"}, a.addMembers)
	handle(a, operation{id: "set-role", method: http.MethodPatch, path: "/conversations/{id}/members/{user}", tag: tag, summary: "Change what a member may do", status: http.StatusNoContent}, a.setRole)
	handle(a, operation{id: "remove-member", method: http.MethodDelete, path: "/conversations/{id}/members/{user}", tag: tag, summary: "Take a person out", status: http.StatusNoContent},
		func(ctx context.Context, in *MemberInput) (*empty, error) {
			return a.removeMember(ctx, in.ID.v, in.User.v)
		})
	handle(a, operation{id: "set-marks", method: http.MethodPut, path: "/conversations/{id}/marks", tag: tag, summary: "Move one's marks forward; they never go back"}, a.setMarks)
}

func (a *API) removeMember(ctx context.Context, id chat.ConversationID, user chat.UserID) (*empty, error) {
	c, err := a.cfg.Store.RemoveMember(ctx, id, callerID(ctx), user)
	if err != nil {
		return nil, err
	}
	a.cfg.Announcer.ConversationChanged(ctx, callerID(ctx), c)
	return &empty{}, nil
}

func (a *API) listMembers(ctx context.Context, in *struct {
	ConversationInput
	Paging
	NameQuery
},
) (*body[items[wire.Member]], error) {
	var after chat.UserID
	if in.Cursor != "" {
		if err := a.cfg.Cursors.Open("members", callerID(ctx), in.Cursor, &after); err != nil {
			return nil, err
		}
	}
	page, err := a.cfg.Store.MembersOf(ctx, in.ID.v, callerID(ctx), strings.TrimSpace(in.Q), after, in.Limit+1)
	if err != nil {
		return nil, err
	}
	out := &body[items[wire.Member]]{items[wire.Member]{Items: []wire.Member{}}}
	if len(page) > in.Limit {
		page = page[:in.Limit]
		out.Body.Next = a.cfg.Cursors.Seal("members", callerID(ctx), page[len(page)-1].User)
	}
	ids := make([]chat.UserID, len(page))
	for i, m := range page {
		ids[i] = m.User
	}
	users, err := a.cfg.Store.Users(ctx, ids)
	if err != nil {
		return nil, err
	}
	byID := map[chat.UserID]chat.User{}
	for _, u := range users {
		byID[u.ID] = u
	}
	audience, err := a.cfg.Store.Audience(ctx, in.ID.v)
	if err != nil {
		return nil, err
	}
	for _, m := range page {
		member := wire.Member{User: wire.UserOf(byID[m.User]), Role: m.Role, JoinedAt: wire.MillisOf(m.JoinedAt)}
		if !audience.Large() {
			member.Read = m.Read
		}
		out.Body.Items = append(out.Body.Items, member)
	}
	return out, nil
}

func (a *API) addMembers(ctx context.Context, in *struct {
	ConversationInput
	Body struct {
		Users []chat.UserID `json:"users" minItems:"1" maxItems:"100"`
	}
},
) (*body[wire.Summary], error) {
	c, err := a.cfg.Store.AddMembers(ctx, in.ID.v, callerID(ctx), in.Body.Users)
	if err != nil {
		return nil, err
	}
	a.cfg.Announcer.ConversationChanged(ctx, callerID(ctx), c)
	return a.summary(ctx, in.ID.v)
}

func (a *API) setRole(ctx context.Context, in *struct {
	MemberInput
	Body struct {
		Role chat.Role `json:"role" enum:"owner,admin,member"`
	}
},
) (*empty, error) {
	c, err := a.cfg.Store.SetRole(ctx, in.ID.v, callerID(ctx), in.User.v, in.Body.Role)
	if err != nil {
		return nil, err
	}
	a.cfg.Announcer.ConversationChanged(ctx, callerID(ctx), c)
	return &empty{}, nil
}

func (a *API) setMarks(ctx context.Context, in *struct {
	ConversationInput
	Body struct {
		Read     int64 `json:"read,omitempty" minimum:"0"`
		Received int64 `json:"received,omitempty" minimum:"0"`
	}
},
) (*body[Marks], error) {
	m, moved, err := a.cfg.Store.Mark(ctx, in.ID.v, callerID(ctx), in.Body.Read, in.Body.Received)
	if err != nil {
		return nil, err
	}
	if moved {
		a.cfg.Announcer.Marked(ctx, m)
	}
	return &body[Marks]{Marks{Read: m.Read, Received: m.Received}}, nil
}
