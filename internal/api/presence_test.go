package api_test

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/hikyaku-chat/hikyaku/internal/api"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/presence"
)

// forgetful is a presence that does not know how some users can be reached.
type forgetful map[chat.UserID]bool

func (p forgetful) States(_ context.Context, users []chat.UserID) ([]presence.State, error) {
	out, unknown := make([]presence.State, len(users)), make([]bool, len(users))
	for i, u := range users {
		out[i] = presence.State{User: u, Presence: chat.Offline}
		unknown[i] = p[u]
	}
	return out, &presence.PartialError{Unknown: unknown, Err: errors.New("a server is away")}
}

// Of those whose presence is not known nothing is said; only when it is nobody's, the
// request fails.
func TestUnknownPresence(t *testing.T) {
	known := forgetful{}
	f := startWith(t, api.Config{Registration: api.Open, Presence: known})
	aki, ben, cleo := f.register("aki"), f.register("ben"), f.register("cleo")
	aki.ok("POST", "/conversations", object{"kind": "group", "title": "all", "members": []string{ben.id, cleo.id}})
	path := "/presence?ids=" + ben.id + "," + cleo.id
	if items := list(aki.ok("GET", path, nil)); len(items) != 2 {
		t.Errorf("all are known: %v", items)
	}
	var id chat.UserID
	if err := id.UnmarshalText([]byte(ben.id)); err != nil {
		t.Fatal(err)
	}
	known[id] = true
	if items := list(aki.ok("GET", path, nil)); len(items) != 1 || items[0].(map[string]any)["user"] != cleo.id {
		t.Errorf("one is unknown: %v", items)
	}
	if err := id.UnmarshalText([]byte(cleo.id)); err != nil {
		t.Fatal(err)
	}
	known[id] = true
	aki.refused("GET", path, nil, http.StatusServiceUnavailable, "unavailable", "")
}
