package hikyaku

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/hikyaku-chat/hikyaku/internal/bench/target"
	"github.com/hikyaku-chat/hikyaku/internal/client"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// pageSize is how many messages the web page shows at once.
const pageSize = 50

// Actions implements [target.ActionSite].
func (s *site) Actions() []target.Action {
	return []target.Action{
		{Name: "type", Do: s.typing},
		{Name: "scroll back", Do: s.scrollBack},
		{Name: "read", Do: s.read},
		{Name: "search people", Do: func(ctx context.Context, user, _ int) error {
			return s.get(ctx, user, "/users?"+url.Values{"q": {fmt.Sprintf("-%d", user)}}.Encode(), nil)
		}},
		{Name: "search channels", Do: func(ctx context.Context, user, _ int) error {
			return s.get(ctx, user, "/channels?"+url.Values{"q": {"bench"}}.Encode(), nil)
		}},
	}
}

func (s *site) get(ctx context.Context, user int, path string, out any) error {
	return s.users[user].Do(ctx, http.MethodGet, path, nil, out)
}

// typing sends a typing notice; a disconnected user sends none.
func (s *site) typing(_ context.Context, user, room int) error {
	c := s.conns[user].Load()
	if c == nil || c.closed.Load() {
		return nil
	}
	err := c.socket.Send(wire.Typing{T: "typing", Conversation: s.rooms[room]})
	if c.closed.Load() {
		return nil // disconnected meanwhile
	}
	return err
}

// scrollBack reads a conversation's last page, and the two before it.
func (s *site) scrollBack(ctx context.Context, user, room int) error {
	before := ""
	for range 3 {
		var p client.Page
		if err := s.get(ctx, user, fmt.Sprintf("/conversations/%v/messages?limit=%d%s", s.rooms[room], pageSize, before), &p); err != nil {
			return err
		}
		if !p.HasBefore || len(p.Items) == 0 {
			return nil
		}
		before = fmt.Sprintf("&before=%d", p.Items[0].Seq)
	}
	return nil
}

// read moves the user's read mark to the end of the conversation.
func (s *site) read(ctx context.Context, user, room int) error {
	var p client.Page
	if err := s.get(ctx, user, fmt.Sprintf("/conversations/%v/messages?limit=1", s.rooms[room]), &p); err != nil || len(p.Items) == 0 {
		return err
	}
	return s.users[user].Do(ctx, http.MethodPut, fmt.Sprintf("/conversations/%v/marks", s.rooms[room]),
		map[string]int64{"read": p.Items[0].Seq, "received": p.Items[0].Seq}, nil)
}
