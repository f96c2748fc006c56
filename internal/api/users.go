package api

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/presence"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// maxIDs is the maximum number of users in a request by id.
const maxIDs = 200

// NameQuery is embedded by inputs of lists of people that can be searched.
type NameQuery struct {
	Q string `query:"q" maxLength:"200" doc:"part of a name or a display name, caseless"`
}

type usersInput struct {
	Paging
	NameQuery
	IDs string `query:"ids" maxLength:"8000" doc:"exactly these people, up to 200 ids with commas between"`
}

func (a *API) registerUsers() {
	handle(a, operation{id: "find-users", method: http.MethodGet, path: "/users", tag: "People", summary: "Find people"}, a.findUsers)
	handle(a, operation{id: "get-user", method: http.MethodGet, path: "/users/{id}", tag: "People", summary: "A person"},
		func(ctx context.Context, in *struct {
			ID userParam `path:"id"`
		},
		) (*body[wire.User], error) {
			found, err := a.cfg.Store.Users(ctx, []chat.UserID{in.ID.v})
			if err != nil {
				return nil, err
			}
			if len(found) == 0 {
				return nil, chat.NotFound("person")
			}
			return &body[wire.User]{wire.UserOf(found[0])}, nil
		})
	handle(a, operation{id: "get-presence", method: http.MethodGet, path: "/presence", tag: "People", summary: "How people can be reached with whom one shares a conversation"}, a.getPresence)
}

func (a *API) findUsers(ctx context.Context, in *usersInput) (*body[items[wire.User]], error) {
	var found []chat.User
	var err error
	out := &body[items[wire.User]]{items[wire.User]{Items: []wire.User{}}}
	if in.IDs != "" {
		ids, err := parseIDs(in.IDs)
		if err != nil {
			return nil, err
		}
		found, err = a.cfg.Store.Users(ctx, ids)
		if err != nil {
			return nil, err
		}
	} else {
		after := ""
		if in.Cursor != "" {
			if err := a.cfg.Cursors.Open("users", callerID(ctx), in.Cursor, &after); err != nil {
				return nil, err
			}
		}
		if found, err = a.cfg.Store.SearchUsers(ctx, strings.TrimSpace(in.Q), after, in.Limit+1); err != nil {
			return nil, err
		}
		if len(found) > in.Limit {
			found = found[:in.Limit]
			out.Body.Next = a.cfg.Cursors.Seal("users", callerID(ctx), found[len(found)-1].Name)
		}
	}
	for _, u := range found {
		out.Body.Items = append(out.Body.Items, wire.UserOf(u))
	}
	return out, nil
}

func parseIDs(list string) ([]chat.UserID, error) {
	parts := strings.Split(list, ",")
	if len(parts) > maxIDs {
		return nil, chat.Refuse(chat.CodeTooLarge, "ids", "at most %d ids", maxIDs)
	}
	ids := make([]chat.UserID, len(parts))
	for i, p := range parts {
		if err := ids[i].UnmarshalText([]byte(p)); err != nil {
			return nil, chat.Refuse(chat.CodeInvalid, "ids", "%s", err.Error())
		}
	}
	return ids, nil
}

func (a *API) getPresence(ctx context.Context, in *struct {
	IDs string `query:"ids" required:"true" maxLength:"8000" doc:"up to 200 ids with commas between"`
},
) (*body[items[wire.PresenceState]], error) {
	ids, err := parseIDs(in.IDs)
	if err != nil {
		return nil, err
	}
	pairs := make([]store.UserPair, len(ids))
	for i, id := range ids {
		pairs[i] = store.UserPair{User: callerID(ctx), Other: id}
	}
	shared, err := a.cfg.Store.ShareConversation(ctx, pairs)
	if err != nil {
		return nil, err
	}
	var allowed []chat.UserID
	for i, id := range ids {
		if shared[i] {
			allowed = append(allowed, id)
		}
	}
	states, err := a.cfg.Presence.States(ctx, allowed)
	if err != nil {
		a.log.ErrorContext(ctx, "presence could not be read", "error", err)
	}
	unknown := presence.Unknown(err, len(allowed))
	if err != nil && !slices.Contains(unknown, false) {
		return nil, newProblem(chat.CodeUnavailable, "", "presence cannot be told now; try again")
	}
	users, err := a.cfg.Store.Users(ctx, allowed)
	if err != nil {
		return nil, err
	}
	seen := map[chat.UserID]wire.Millis{}
	for _, u := range users {
		seen[u.ID] = wire.MillisOf(u.LastSeen)
	}
	out := &body[items[wire.PresenceState]]{items[wire.PresenceState]{Items: []wire.PresenceState{}}}
	for i, s := range states {
		if unknown[i] {
			continue
		}
		p := wire.PresenceState{User: s.User, State: s.Presence, LastSeen: wire.MillisOf(s.LastSeen)}
		if s.Presence == chat.Offline && p.LastSeen == 0 {
			p.LastSeen = seen[s.User]
		}
		out.Body.Items = append(out.Body.Items, p)
	}
	return out, nil
}
