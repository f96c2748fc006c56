package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hikyaku-chat/hikyaku/internal/api"
	"github.com/hikyaku-chat/hikyaku/internal/asyncapi"
	"github.com/hikyaku-chat/hikyaku/internal/auth"
	"github.com/hikyaku-chat/hikyaku/internal/broker/embedded"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/cursor"
	"github.com/hikyaku-chat/hikyaku/internal/password"
	"github.com/hikyaku-chat/hikyaku/internal/presence/localpresence"
	"github.com/hikyaku-chat/hikyaku/internal/snowflake"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/store/sqlite"
	"github.com/hikyaku-chat/hikyaku/internal/submission"
	"github.com/hikyaku-chat/hikyaku/internal/throttle"
	"github.com/hikyaku-chat/hikyaku/internal/worker"
)

var update = flag.Bool("update", false, "write the golden files")

// announcements records what is announced.
type announcements struct {
	mu  sync.Mutex
	all []string
}

func (a *announcements) add(format string, args ...any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all = append(a.all, fmt.Sprintf(format, args...))
}

func (a *announcements) take() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := strings.Join(a.all, "; ")
	a.all = nil
	return all
}

func (a *announcements) ConversationChanged(_ context.Context, _ chat.UserID, c store.Change) {
	if c.Changed {
		a.add("conversation +%d -%d", len(c.Joined), len(c.Left))
	}
}

func (a *announcements) MessageEdited(_ context.Context, e store.Edited) {
	a.add("edited %v", e.Changed)
}

func (a *announcements) MessageDeleted(_ context.Context, e store.Edited) {
	a.add("deleted %v", e.Changed)
}

func (a *announcements) Marked(_ context.Context, m chat.Membership) { a.add("marked %d", m.Read) }

func (a *announcements) SessionsEnded(_ context.Context, _ chat.UserID, ids []chat.SessionID) {
	a.add("ended %d", len(ids))
}

// noopAnnouncer is an announcer for the worker, whose announcements are ignored.
type noopAnnouncer struct{}

func (noopAnnouncer) Stored(context.Context, []chat.Outcome, func(int) bool) {}
func (noopAnnouncer) Failed(context.Context, *chat.Submission, *chat.Error)  {}

const setupToken = "the-operator-of-this-test"

// countingHasher counts the passwords that are hashed.
type countingHasher struct {
	*password.Hasher
	n atomic.Int64
}

func (h *countingHasher) HashOfStranger(ctx context.Context, password string) (string, error) {
	h.n.Add(1)
	return h.Hasher.HashOfStranger(ctx, password)
}

type fixture struct {
	t         *testing.T
	url       string
	handler   http.Handler
	checks    *hookedStore
	hashed    *countingHasher
	announced *announcements
	store     store.Store
}

func start(t *testing.T, registration api.Registration) *fixture {
	t.Helper()
	return startWith(t, api.Config{Registration: registration})
}

// startWith starts an API with the settings of cfg; the rest is set here.
func startWith(t *testing.T, cfg api.Config) *fixture {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	maker, err := snowflake.NewGenerator(0, nil)
	if err != nil {
		t.Fatal(err)
	}
	st, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(t.TempDir(), "test.db"), NewID: maker.Next, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	b, err := embedded.New(embedded.Config{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- worker.New(st, noopAnnouncer{}, log).Run(ctx, b) }()
	cfg.Refuser = submission.NewRefuser(st, slog.New(slog.DiscardHandler))
	var refusing sync.WaitGroup
	refusing.Go(func() { cfg.Refuser.Run(ctx) })
	hasher, err := password.NewHasher(password.Config{MemoryKiB: 64})
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, announced: &announcements{}, store: st, checks: &hookedStore{Store: st}}
	cfg.Store, cfg.Publisher, cfg.Announcer = f.checks, b, f.announced
	if cfg.Presence == nil {
		cfg.Presence = localpresence.New(nil)
	}
	cfg.Auth, cfg.Cursors = auth.NewAuthenticator(auth.Config{Store: st, Logger: log}), cursor.NewSealer(st.Secret())
	f.hashed = &countingHasher{Hasher: hasher}
	cfg.Hasher = f.hashed
	if cfg.Throttle, err = throttle.New(throttle.Config{FreeFailures: 3}); err != nil {
		t.Fatal(err)
	}
	if cfg.Registering == nil {
		if cfg.Registering, err = throttle.NewLimiter(1000, 1000); err != nil {
			t.Fatal(err)
		}
	}
	if cfg.SendLimiter, err = throttle.NewLimiter(0.001, 10); err != nil {
		t.Fatal(err)
	}
	cfg.Version, cfg.Logger, cfg.SetupToken = "test", log, setupToken
	h, err := api.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	f.handler, f.url = h, server.URL
	t.Cleanup(func() {
		server.Close()
		if err := b.Close(ctx); err != nil {
			t.Error(err)
		}
		cancel()
		refusing.Wait()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// client is an API client with a token, or none.
type client struct {
	*fixture
	token string
	id    string
}

type object map[string]any

// answer is a response whose body was read.
type answer struct {
	status  int
	header  http.Header
	cookies []*http.Cookie
}

func (c *client) request(method, path string, body any, change func(*http.Request)) (answer, object) {
	c.t.Helper()
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			c.t.Fatal(err)
		}
		r = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.url+path, r)
	if err != nil {
		c.t.Fatal(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	if change != nil {
		change(req)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var out object
	_ = json.NewDecoder(resp.Body).Decode(&out) // no body, or a page
	return answer{status: resp.StatusCode, header: resp.Header, cookies: resp.Cookies()}, out
}

// ok sends a request that must succeed.
func (c *client) ok(method, path string, body any) object {
	c.t.Helper()
	resp, out := c.request(method, "/api/v1"+path, body, nil)
	if resp.status >= 300 {
		c.t.Fatalf("%s %s: %d %v", method, path, resp.status, out)
	}
	return out
}

// refused sends a request that must be refused, and checks the problem.
func (c *client) refused(method, path string, body any, status int, code, field string) object {
	c.t.Helper()
	resp, out := c.request(method, "/api/v1"+path, body, nil)
	if resp.status != status || out["code"] != code || (field != "" && out["field"] != field) {
		c.t.Errorf("%s %s: %d %v; want %d %s %s", method, path, resp.status, out, status, code, field)
	}
	if ct := resp.header.Get("Content-Type"); ct != "application/problem+json" {
		c.t.Errorf("%s %s: Content-Type %s", method, path, ct)
	}
	return out
}

func (f *fixture) register(name string) *client {
	f.t.Helper()
	c := &client{fixture: f}
	body := object{"name": name, "password": "correct horse"}
	if c.ok("GET", "/installation", nil)["first_account"] == true {
		body["invitation"] = setupToken
	}
	g := c.ok("POST", "/register", body)
	c.token = g["token"].(string)
	c.id = g["user"].(map[string]any)["id"].(string)
	return c
}

func list(o object) []any { return o["items"].([]any) }

func TestConversations(t *testing.T) {
	f := start(t, api.Open)
	aki, ben, eve := f.register("aki"), f.register("ben"), f.register("eve")
	f.announced.take()
	d := aki.ok("POST", "/conversations", object{"kind": "direct", "user": ben.id})
	if again := ben.ok("POST", "/conversations", object{"kind": "direct", "user": aki.id}); again["id"] != d["id"] {
		t.Error("two direct conversations for one pair")
	}
	if got := f.announced.take(); got != "conversation +2 -0" {
		t.Errorf("announced %q", got)
	}
	aki.refused("POST", "/conversations", object{"kind": "direct", "user": aki.id}, 400, "invalid", "")
	aki.refused("POST", "/conversations", object{"kind": "direct", "user": "999"}, 404, "not_found", "")
	aki.refused("POST", "/conversations", object{"kind": "group", "title": " "}, 400, "invalid", "title")
	aki.refused("POST", "/conversations", object{"kind": "club", "title": "x"}, 400, "invalid", "kind")

	g := aki.ok("POST", "/conversations", object{"kind": "group", "title": "Team", "members": []string{ben.id}})
	path := "/conversations/" + g["id"].(string)
	for i, p := range []string{path, "/conversations/12345"} {
		eve.refused("GET", p, nil, 404, "not_found", "")
		eve.refused("GET", p+"/messages", nil, 404, "not_found", "")
		eve.refused("GET", p+"/members", nil, 404, "not_found", "")
		eve.refused("POST", p+"/join", nil, 404, "not_found", "")
		eve.refused("PATCH", p, object{"title": "x"}, 404, "not_found", "")
		eve.refused("POST", p+"/messages", object{"id": fmt.Sprintf("01939d2e-7c00-7abc-8def-0123456789a%d", i), "body": "x"}, 404, "not_found", "")
		eve.refused("PUT", p+"/marks", object{"read": 1}, 404, "not_found", "")
	}
	ben.refused("PATCH", path, object{"title": "Mine"}, 403, "forbidden", "")
	if s := aki.ok("PATCH", path, object{"title": "Crew", "topic": "rowing"}); s["title"] != "Crew" || s["topic"] != "rowing" {
		t.Errorf("%v", s)
	}
	aki.ok("PATCH", path+"/members/"+ben.id, object{"role": "admin"})
	ben.refused("DELETE", path+"/members/"+aki.id, nil, 403, "forbidden", "")
	link := ben.ok("POST", path+"/links", object{"max_uses": 1})
	if n := len(list(ben.ok("GET", path+"/links", nil))); n != 1 {
		t.Errorf("%d links", n)
	}
	token := link["token"].(string)
	if c := eve.ok("GET", "/links/"+token, nil)["conversation"].(map[string]any); c["title"] != "Crew" {
		t.Errorf("%v", c)
	}
	eve.ok("POST", "/links/"+token+"/join", nil)
	f.register("cem").refused("POST", "/links/"+token+"/join", nil, 404, "not_found", "")
	if n := len(list(eve.ok("GET", path+"/members?limit=200", nil))); n != 3 {
		t.Errorf("%d members", n)
	}
	// In pages of those whose names contain a text.
	for q, want := range map[string]int{"": 3, "%20": 3, "E": 2, "ev": 1, "%25": 0} {
		found, next := 0, ""
		for ok := true; ok; {
			page := eve.ok("GET", path+"/members?limit=1&q="+q+next, nil)
			found += len(list(page))
			next, ok = page["next"].(string)
			next = "&cursor=" + next
		}
		if found != want {
			t.Errorf("members named %q: %d, not %d", q, found, want)
		}
	}
	aki.ok("DELETE", path+"/members/"+eve.id, nil)
	eve.refused("GET", path, nil, 404, "not_found", "")
	aki.ok("POST", path+"/leave", nil)
	if s := ben.ok("GET", path, nil); s["role"] != "owner" || s["members"] != 1.0 {
		t.Errorf("the heir: %v", s)
	}
}

func TestPagesWithOneEntry(t *testing.T) {
	f := start(t, api.Open)
	aki, ben := f.register("aki"), f.register("ben")
	for i := range 3 {
		aki.ok("POST", "/conversations", object{"kind": "channel", "title": fmt.Sprint("channel ", i)})
	}
	for _, path := range []string{"/channels", "/conversations", "/users", "/admin/users"} {
		seen, cursor := 0, ""
		for {
			page := aki.ok("GET", path+"?limit=1"+cursor, nil)
			seen += len(list(page))
			next, ok := page["next"].(string)
			if !ok {
				break
			}
			cursor = "&cursor=" + next
			if path != "/admin/users" {
				ben.refused("GET", path+"?limit=1"+cursor, nil, 400, "invalid", "cursor")
			}
			aki.refused("GET", path+"?limit=1"+cursor[:len(cursor)-1], nil, 400, "invalid", "cursor")
		}
		want := 3
		if strings.HasSuffix(path, "users") {
			want = 2
		}
		if seen != want {
			t.Errorf("%s: %d entries, want %d", path, seen, want)
		}
	}
	aki.refused("GET", "/channels?limit=0", nil, 400, "invalid", "limit")
	aki.refused("GET", "/channels?limit=201", nil, 400, "invalid", "limit")
}

func TestMessages(t *testing.T) {
	f := start(t, api.Open)
	aki, ben := f.register("aki"), f.register("ben")
	path := "/conversations/" + aki.ok("POST", "/conversations", object{"kind": "group", "title": "Team", "members": []string{ben.id}})["id"].(string)
	id := func(n int) string { return fmt.Sprintf("01939d2e-7c00-7abc-8def-%012d", n) }
	for n := 1; n <= 5; n++ {
		aki.ok("POST", path+"/messages", object{"id": id(n), "body": fmt.Sprint("text ", n)})
	}
	aki.ok("POST", path+"/messages", object{"id": id(1), "body": "text 1"})
	aki.refused("POST", path+"/messages", object{"id": id(1), "body": "other"}, 409, "conflict", "")
	aki.refused("POST", path+"/messages", object{"id": "x", "body": "text"}, 400, "invalid", "id")
	aki.refused("POST", path+"/messages", object{"id": id(9), "body": " "}, 400, "invalid", "body")
	aki.refused("POST", path+"/messages", object{"id": id(9), "body": "x", "reply_to": 99}, 400, "invalid", "reply_to")
	seqs := func(query string) string {
		h := ben.ok("GET", path+"/messages?"+query, nil)
		var all []string
		for _, m := range list(h) {
			all = append(all, fmt.Sprint(m.(map[string]any)["seq"]))
		}
		return fmt.Sprint(strings.Join(all, " "), " ", h["has_before"], " ", h["has_after"])
	}
	for query, want := range map[string]string{
		"":                 "1 2 3 4 5 false false",
		"limit=2":          "4 5 true false",
		"before=4&limit=2": "2 3 true true",
		"after=0&limit=2":  "1 2 false true",
		"after=5":          " false false",
		"around=3&limit=3": "2 3 4 true true",
	} {
		if got := seqs(query); got != want {
			t.Errorf("%q: %s, want %s", query, got, want)
		}
	}
	rev := func(query string) any { return ben.ok("GET", path+"/messages?"+query, nil)["rev"] }
	for _, query := range []string{"", "before=4&limit=2", "after=5", "around=3&limit=3"} {
		if got, want := rev(query), ben.ok("GET", path, nil)["rev"]; got != want {
			t.Errorf("%q: of rev %v, want %v", query, got, want)
		}
	}
	// Ten sends at once are allowed here; nine of them are used up, also by
	// those that were refused.
	aki.ok("POST", path+"/messages", object{"id": id(20), "body": "the tenth"})
	if p := aki.refused("POST", path+"/messages", object{"id": id(21), "body": "too fast"}, 429, "rate_limited", ""); p["retry_after_ms"] == nil {
		t.Errorf("%v", p)
	}
	f.announced.take()
	ben.refused("PATCH", path+"/messages/1", object{"body": "mine now"}, 403, "forbidden", "")
	ben.refused("DELETE", path+"/messages/1", nil, 403, "forbidden", "")
	aki.refused("PATCH", path+"/messages/99", object{"body": "x"}, 404, "not_found", "")
	if m := aki.ok("PATCH", path+"/messages/1", object{"body": "better"}); m["body"] != "better" || m["edited_at"] == nil {
		t.Errorf("%v", m)
	}
	if m := aki.ok("DELETE", path+"/messages/1", nil); m["body"] != "" || m["deleted_at"] == nil {
		t.Errorf("%v", m)
	}
	if m := ben.ok("PUT", path+"/marks", object{"read": 99}); m["read"] != 6.0 {
		t.Errorf("%v", m)
	}
	if m := ben.ok("PUT", path+"/marks", object{"read": 2}); m["read"] != 6.0 {
		t.Errorf("%v", m)
	}
	if got := f.announced.take(); got != "edited true; deleted true; marked 6" {
		t.Errorf("announced %q", got)
	}
}

func TestAdministration(t *testing.T) {
	f := start(t, api.Open)
	aki, ben := f.register("aki"), f.register("ben")
	ben.refused("GET", "/admin/users", nil, 403, "forbidden", "")
	if found := list(aki.ok("GET", "/admin/users?q=BE", nil)); len(found) != 1 {
		t.Errorf("accounts named be: %v", found)
	}
	ben.refused("PATCH", "/admin/users/"+aki.id, object{"disabled": true}, 403, "forbidden", "")
	aki.refused("PATCH", "/admin/users/"+aki.id, object{"disabled": true}, 403, "forbidden", "account")
	f.announced.take()
	aki.ok("PATCH", "/admin/users/"+ben.id, object{"disabled": true})
	if got := f.announced.take(); got != "ended 1" {
		t.Errorf("announced %q", got)
	}
	ben.refused("GET", "/me", nil, 401, "unauthenticated", "")
	ben.refused("POST", "/login", object{"name": "ben", "password": "correct horse"}, 401, "unauthenticated", "")
	aki.refused("POST", "/conversations", object{"kind": "direct", "user": ben.id}, 404, "not_found", "")
	aki.ok("PATCH", "/admin/users/"+ben.id, object{"disabled": false, "admin": true})
	(&client{fixture: f}).ok("POST", "/login", object{"name": "ben", "password": "correct horse"})
}

func TestDocuments(t *testing.T) {
	f := start(t, api.Open)
	c := &client{fixture: f}
	for _, tt := range []struct {
		name string
		make func() ([]byte, error)
	}{{"openapi", api.OpenAPI}, {"asyncapi", asyncapi.Document}} {
		got, err := tt.make()
		if err != nil {
			t.Fatal(err)
		}
		checkRefs(t, tt.name, got)
		// The page's types are made from these files.
		golden := filepath.Join("..", "..", "web", "spec", tt.name+".json")
		if *update {
			if err := os.WriteFile(golden, append(got, '\n'), 0o644); err != nil { //nolint:gosec // for everyone to read
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil || !bytes.Equal(bytes.TrimSpace(want), bytes.TrimSpace(got)) {
			t.Errorf("%s is not what the types say (%v); run make generate and look at the difference", golden, err)
		}
		if resp, _ := c.request("GET", "/api/"+tt.name+".json", nil, nil); resp.status != http.StatusOK {
			t.Errorf("%s is served with %d", tt.name, resp.status)
		}
	}
	resp, _ := c.request("GET", "/api/docs", nil, nil)
	if resp.status != http.StatusOK || !strings.Contains(resp.header.Get("Content-Type"), "text/html") {
		t.Errorf("the page: %d %s", resp.status, resp.header.Get("Content-Type"))
	}
	c.refused("GET", "/nothing", nil, 404, "not_found", "")
}

// checkRefs checks that all references in a document can be resolved.
func checkRefs(t *testing.T, name string, document []byte) {
	t.Helper()
	var root any
	if err := json.Unmarshal(document, &root); err != nil {
		t.Fatal(err)
	}
	find := func(path string) bool {
		at := root
		for part := range strings.SplitSeq(strings.TrimPrefix(path, "#/"), "/") {
			o, ok := at.(map[string]any)
			if !ok {
				return false
			}
			if at, ok = o[part]; !ok {
				return false
			}
		}
		return true
	}
	refs := 0
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok {
				refs++
				if !find(ref) {
					t.Errorf("%s: %s leads nowhere", name, ref)
				}
			}
			for _, child := range v {
				walk(child)
			}
		case []any:
			for _, child := range v {
				walk(child)
			}
		}
	}
	walk(root)
	if refs == 0 {
		t.Errorf("%s has no references; is it empty?", name)
	}
}
