package api_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hikyaku-chat/hikyaku/internal/api"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

// people creates accounts of a batch and returns a client for each.
func (c *client) people(batch string, names ...string) (out []*client) {
	c.t.Helper()
	users := make([]object, len(names))
	for i, name := range names {
		users[i] = object{"name": name}
	}
	for _, item := range list(c.ok("POST", "/admin/batches/"+batch+"/users", object{"users": users})) {
		g := item.(map[string]any)
		out = append(out, &client{fixture: c.fixture, token: g["token"].(string), id: g["user"].(map[string]any)["id"].(string)})
	}
	return out
}

func TestBatches(t *testing.T) {
	f := start(t, api.Closed)
	admin := f.register("aki")
	if got := list(admin.ok("GET", "/admin/batches", nil)); len(got) != 0 {
		t.Errorf("%v", got)
	}
	p := admin.people("bench-1", "Bench-A", "bench-b", "bench-c")
	me := p[0].ok("GET", "/me", nil)["user"].(map[string]any)
	if me["name"] != "bench-a" || me["display_name"] != "Bench-A" || me["admin"] == true || me["id"] != p[0].id {
		t.Errorf("%v", me)
	}
	// Nobody logs in to one.
	for _, password := range []string{"", "correct horse"} {
		(&client{fixture: f}).refused("POST", "/login", object{"name": "bench-a", "password": password}, 401, "unauthenticated", "")
	}
	batches := list(admin.ok("GET", "/admin/batches", nil))
	if b := batches[0].(map[string]any); len(batches) != 1 || b["name"] != "bench-1" || b["accounts"] != 3.0 || b["created_at"] == 0.0 {
		t.Errorf("%v", batches)
	}

	f.announced.take()
	made := list(admin.ok("POST", "/admin/batches/bench-1/conversations", object{"conversations": []object{
		{"kind": "direct", "members": []string{p[0].id, p[1].id}},
		{"kind": "group", "title": "three", "members": []string{p[2].id, p[0].id, p[1].id}},
	}}))
	if got := f.announced.take(); len(made) != 2 || got != "conversation +2 -0; conversation +3 -0" {
		t.Errorf("%v; announced %q", made, got)
	}
	three := made[1].(map[string]any)["id"].(string)
	if s := p[2].ok("GET", "/conversations/"+three, nil); s["role"] != "owner" || s["members"] != 3.0 {
		t.Errorf("%v", s)
	}
	if got := list(p[0].ok("GET", "/conversations", nil)); len(got) != 2 {
		t.Errorf("%v", got)
	}

	// One of a conversation with others; what it wrote there stays.
	shared := admin.ok("POST", "/conversations", object{"kind": "group", "title": "shared", "members": []string{p[0].id, p[1].id}})["id"].(string)
	p[0].ok("POST", "/conversations/"+shared+"/messages", object{"id": "01890a5d-ac96-774b-bcce-b302099a8057", "body": "hello"})
	f.announced.take()
	gone := admin.ok("DELETE", "/admin/batches/bench-1", nil)
	if gone["done"] != true || gone["accounts"] != 2.0 || gone["conversations"] != 2.0 || gone["messages"] != 0.0 {
		t.Errorf("%v", gone)
	}
	if got := f.announced.take(); got != "ended 1; ended 1; ended 1; conversation +0 -1; conversation +0 -1" {
		t.Errorf("announced %q", got)
	}
	for _, c := range p {
		c.refused("GET", "/me", nil, 401, "unauthenticated", "")
	}
	if got := list(admin.ok("GET", "/conversations/"+shared+"/messages", nil)); len(got) != 1 {
		t.Errorf("%v", got)
	}
	if u := admin.ok("GET", "/users/"+p[0].id, nil); u["disabled"] != true {
		t.Errorf("%v", u)
	}
	admin.refused("GET", "/users/"+p[1].id, nil, 404, "not_found", "")
	admin.refused("DELETE", "/admin/batches/bench-1", nil, 404, "not_found", "")
}

func TestBatchesAreRefused(t *testing.T) {
	f := start(t, api.Open)
	admin, ben := f.register("aki"), f.register("ben")
	p := admin.people("mine", "one", "two")
	other := admin.people("other", "three")
	users, rooms := "/admin/batches/mine/users", "/admin/batches/mine/conversations"
	one := object{"users": []object{{"name": "four"}}}
	pair := func(a, b string) object {
		return object{"conversations": []object{{"kind": "direct", "members": []string{a, b}}}}
	}
	for _, c := range []*client{ben, p[0]} {
		c.refused("GET", "/admin/batches", nil, 403, "forbidden", "")
		c.refused("POST", users, one, 403, "forbidden", "")
		c.refused("POST", rooms, pair(p[0].id, p[1].id), 403, "forbidden", "")
		c.refused("DELETE", "/admin/batches/mine", nil, 403, "forbidden", "")
	}
	(&client{fixture: f}).refused("GET", "/admin/batches", nil, 401, "unauthenticated", "")

	taken := admin.refused("POST", users, object{"users": []object{{"name": "free"}, {"name": "BEN"}}}, 409, "name_taken", "users")
	if !strings.Contains(taken["detail"].(string), "ben") {
		t.Errorf("%v", taken)
	}
	admin.refused("POST", users, object{"users": []object{{"name": "free"}, {"name": "fr\u0435e"}}}, 409, "name_taken", "users") // Cyrillic е
	admin.refused("POST", users, object{"users": []object{{"name": "free"}, {"name": "all"}}}, 409, "name_taken", "users[1].name")
	admin.refused("POST", users, object{"users": []object{{"name": "free"}, {"name": ""}}}, 400, "invalid", "users[1].name")
	admin.refused("POST", users, object{"users": []object{{"name": "free", "display_name": "a\nb"}}}, 400, "invalid", "users[0].display_name")
	admin.refused("POST", users, object{"users": []object{}}, 400, "invalid", "users")
	admin.refused("POST", users, object{"users": make([]object, chat.MaxBatchUsers+1)}, 400, "invalid", "")
	for _, name := range []string{"Mine", "a_b", strings.Repeat("a", 41)} {
		admin.refused("POST", "/admin/batches/"+name+"/users", one, 400, "invalid", "batch")
		admin.refused("DELETE", "/admin/batches/"+name, nil, 400, "invalid", "batch")
	}
	if b := list(admin.ok("GET", "/admin/batches", nil)); len(b) != 2 {
		t.Errorf("%v", b)
	}

	for _, id := range []string{ben.id, admin.id, other[0].id, "12345"} {
		admin.refused("POST", rooms, pair(p[0].id, id), 400, "invalid", "members")
	}
	admin.refused("POST", rooms, pair(p[0].id, p[0].id), 400, "invalid", "conversations[0].members")
	admin.refused("POST", rooms, object{"conversations": []object{{"kind": "group", "members": []string{p[0].id}}}}, 400, "invalid", "conversations[0].title")
	admin.refused("POST", rooms, object{"conversations": []object{{"kind": "group", "title": "x", "members": []string{}}}}, 400, "invalid", "")
	admin.refused("POST", "/admin/batches/none/conversations", pair(p[0].id, p[1].id), 404, "not_found", "")
	if got := list(p[0].ok("GET", "/conversations", nil)); len(got) != 0 {
		t.Errorf("%v", got)
	}
}

// A thousand accounts and a conversation with all of them, in two requests.
func TestBatchOfAThousand(t *testing.T) {
	f := start(t, api.Open)
	admin := f.register("aki")
	names := make([]string, chat.MaxBatchUsers)
	for i := range names {
		names[i] = fmt.Sprintf("bench-0123456789-%d", i)
	}
	p := admin.people("bench-0123456789", names...)
	ids := make([]string, 10*len(p)) // each comes ten times, and counts once
	for i := range ids {
		ids[i] = p[i%len(p)].id
	}
	f.announced.take()
	room := list(admin.ok("POST", "/admin/batches/bench-0123456789/conversations", object{"conversations": []object{{"kind": "channel", "title": "hall", "members": ids}}}))
	if r := room[0].(map[string]any); r["members"] != 1000.0 {
		t.Errorf("%v", r)
	}
	if got := f.announced.take(); got != "" {
		t.Errorf("announced %q", got)
	}
	if got := list(p[999].ok("GET", "/conversations", nil)); len(got) != 1 {
		t.Errorf("%v", got)
	}
	if len(p) != len(names) || p[0].ok("GET", "/me", nil)["user"].(map[string]any)["name"] != names[0] {
		t.Errorf("%d accounts", len(p))
	}
}
