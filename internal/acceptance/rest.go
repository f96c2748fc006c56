package acceptance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/client"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

// answer is what the REST API answered.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// into decodes the body.
func (a *answer) into(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal(a.body, v); err != nil {
		t.Fatalf("%d %s: %v", a.status, a.body, err)
	}
}

// request sends a request as a program writes it. path is below /api/v1, a token
// of "" is none, and text is the body, "" for none.
func request(t testing.TB, url, token, method, path, text string, header ...string) *answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url+"/api/v1"+path, strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if text != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return &answer{resp.StatusCode, resp.Header, bytes.TrimSpace(b)}
}

// Each refusal of the REST API has a status, a code for programs, and a sentence.
func restErrors(t *testing.T, url string) {
	aki, ben, eve := join(t, url, "aki"), join(t, url, "ben"), join(t, url, "eve")
	g, err := aki.CreateGroup(t.Context(), "Team", ben.Me().ID)
	if err != nil {
		t.Fatal(err)
	}
	id := aki.SendMessage(g.ID, "one")
	Await(ben, "message", IsBody("one"))
	aki.SendMessage(g.ID, "two")
	Await(ben, "message", IsBody("two"))
	messages := fmt.Sprintf("/conversations/%s/messages", g.ID)
	if a := request(t, url, aki.Token(), http.MethodDelete, messages+"/2", ""); a.status != http.StatusOK {
		t.Errorf("delete: %d %s", a.status, a.body)
	}
	for _, tt := range []struct {
		what, token, method, path, body string
		status                          int
		code                            string
	}{
		{"no session", "", "GET", "/me", "", 401, "unauthenticated"},
		{"no such session", "hky_nothing", "GET", "/me", "", 401, "unauthenticated"},
		{"wrong password", "", "POST", "/login", `{"name":"` + aki.Me().Name + `","password":"wrong horse battery"}`, 401, "unauthenticated"},
		{"no such account", "", "POST", "/login", `{"name":"nobody-of-this-name","password":"wrong horse battery"}`, 401, "unauthenticated"},
		{"taken name", "", "POST", "/register", `{"name":"` + aki.Me().Name + `","password":"` + testPassword + `"}`, 409, "name_taken"},
		{"short password", "", "POST", "/register", `{"name":"someone-new","password":"short"}`, 400, "invalid"},
		{"not JSON", aki.Token(), "POST", "/conversations", `{`, 400, "invalid"},
		{"missing field", aki.Token(), "POST", "/conversations", `{}`, 400, "invalid"},
		{"unknown field", aki.Token(), "POST", "/conversations", `{"kind":"group","title":"x","colour":"red"}`, 400, "invalid"},
		{"unknown kind", aki.Token(), "POST", "/conversations", `{"kind":"party","title":"x"}`, 400, "invalid"},
		{"not an id", aki.Token(), "GET", "/conversations/07", "", 400, "invalid"},
		{"not a UUIDv7", aki.Token(), "POST", messages, `{"id":"01939D2E-7C00-7ABC-8DEF-0123456789AB","body":"x"}`, 400, "invalid"},
		{"blank text", aki.Token(), "POST", messages, `{"id":"` + client.NewClientID().String() + `","body":" "}`, 400, "invalid"},
		{"no such message to answer", aki.Token(), "POST", messages, `{"id":"` + client.NewClientID().String() + `","body":"x","reply_to":-1}`, 400, "invalid"},
		{"no such conversation", aki.Token(), "GET", "/conversations/12345", "", 404, "not_found"},
		{"a conversation of others", eve.Token(), "GET", "/conversations/" + g.ID.String(), "", 404, "not_found"},
		{"messages of others", eve.Token(), "GET", messages, "", 404, "not_found"},
		{"no such address", aki.Token(), "GET", "/nothing", "", 404, "not_found"},
		{"another's message", ben.Token(), "PATCH", messages + "/1", `{"body":"x"}`, 403, "forbidden"},
		{"a member renames", ben.Token(), "PATCH", "/conversations/" + g.ID.String(), `{"title":"x"}`, 403, "forbidden"},
		{"a deleted message", aki.Token(), "PATCH", messages + "/2", `{"body":"x"}`, 409, "conflict"},
		{"a taken client id", aki.Token(), "POST", messages, `{"id":"` + id.String() + `","body":"x"}`, 409, "conflict"},
		{"a long title", aki.Token(), "POST", "/conversations", `{"kind":"group","title":"` + strings.Repeat("x", chat.MaxTitle+1) + `"}`, 413, "too_large"},
		{"a long text", aki.Token(), "POST", messages, `{"id":"` + client.NewClientID().String() + `","body":"` + strings.Repeat("飛", chat.MaxBody/3+1) + `"}`, 413, "too_large"},
		{"a long request", aki.Token(), "POST", messages, `{"body":"` + strings.Repeat("x", 70_000) + `"}`, 413, "too_large"},
	} {
		a := request(t, url, tt.token, tt.method, tt.path, tt.body)
		var p struct {
			Status               int
			Code, Detail, Title  string
			Field, Type, Nothing string
		}
		a.into(t, &p)
		if a.status != tt.status || p.Status != tt.status || p.Code != tt.code || p.Detail == "" {
			t.Errorf("%s: %d %s, want %d %s", tt.what, a.status, a.body, tt.status, tt.code)
		}
		if media := a.header.Get("Content-Type"); media != "application/problem+json" {
			t.Errorf("%s: it is %s", tt.what, media)
		}
		if tt.status == http.StatusUnauthorized && a.header.Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("%s: WWW-Authenticate is %q", tt.what, a.header.Get("WWW-Authenticate"))
		}
	}
	hidden := request(t, url, eve.Token(), "GET", "/conversations/"+g.ID.String(), "")
	absent := request(t, url, eve.Token(), "GET", "/conversations/12345", "")
	if !bytes.Equal(hidden.body, absent.body) {
		t.Errorf("%s tells what %s does not", hidden.body, absent.body)
	}
}

// There is one direct conversation for two people, whoever asks for it.
func directConversations(t *testing.T, url string) {
	aki, ben := join(t, url, "aki"), join(t, url, "ben")
	create := func(by, with *User) (int, wire.Summary) {
		var s wire.Summary
		a := request(t, url, by.Token(), http.MethodPost, "/conversations", `{"kind":"direct","user":"`+with.Me().ID.String()+`"}`)
		a.into(t, &s)
		return a.status, s
	}
	status, made := create(aki, ben)
	if status != http.StatusCreated || made.Peer == nil || made.Peer.ID != ben.Me().ID || made.Rev != 1 || made.Seq != 0 {
		t.Errorf("the first time: %d %+v", status, made)
	}
	for _, p := range []*User{aki, ben} { // also the one who made it, for their other devices
		Await(p, "conversation", func(f wire.ConversationFrame) bool { return f.Conversation.ID == made.ID && f.By == aki.Me().ID })
	}
	if status, again := create(ben, aki); status != http.StatusOK || again.ID != made.ID || again.Rev != made.Rev {
		t.Errorf("the second time: %d %+v", status, again)
	}
	ExpectNone[wire.ConversationFrame](aki, "conversation", nil)
}

// Lists come in pages; a cursor is for its own list and user.
func restPages(t *testing.T, url string) {
	aki, ben := join(t, url, "aki"), join(t, url, "ben")
	want := map[chat.ConversationID]bool{}
	for i := range 5 {
		g, err := aki.CreateGroup(t.Context(), fmt.Sprint("Group ", i))
		if err != nil {
			t.Fatal(err)
		}
		want[g.ID] = true
	}
	type page struct {
		Items []wire.Summary
		Next  string
	}
	cursor, used := "", ""
	for n := 0; ; n++ {
		var p page
		request(t, url, aki.Token(), http.MethodGet, "/conversations?limit=2&cursor="+cursor, "").into(t, &p)
		for _, s := range p.Items {
			if !want[s.ID] {
				t.Errorf("%d is there twice, or is none of them", s.ID)
			}
			delete(want, s.ID)
		}
		if p.Next == "" {
			break
		}
		if len(p.Items) != 2 || n > 5 {
			t.Fatalf("page %d has %d entries", n, len(p.Items))
		}
		cursor, used = p.Next, p.Next
	}
	if len(want) != 0 {
		t.Errorf("%d are missing", len(want))
	}
	for _, tt := range []struct{ token, path string }{
		{ben.Token(), "/conversations?cursor=" + used},
		{aki.Token(), "/channels?cursor=" + used},
		{aki.Token(), "/conversations?limit=0"},
		{aki.Token(), "/conversations?limit=201"},
	} {
		if a := request(t, url, tt.token, http.MethodGet, tt.path, ""); a.status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", tt.path, a.status, a.body)
		}
	}
}

// A log-in is a session, which its user can see and end from another one.
func sessions(t *testing.T, url string) {
	phone := join(t, url, "aki")
	laptop := login(t, url, phone.Me().Name)
	tablet := login(t, url, phone.Me().Name)
	if laptop.Me().ID != phone.Me().ID || laptop.Socket.Hello.Session == phone.Socket.Hello.Session {
		t.Fatalf("%+v and %+v", phone.Socket.Hello, laptop.Socket.Hello)
	}
	var list struct {
		Items []struct {
			ID      chat.SessionID
			Current bool
		}
	}
	request(t, url, phone.Token(), http.MethodGet, "/sessions", "").into(t, &list)
	if len(list.Items) != 3 {
		t.Errorf("%+v", list)
	}
	for _, s := range list.Items {
		if s.Current != (s.ID == phone.Socket.Hello.Session) {
			t.Errorf("%+v", s)
		}
	}
	path := "/sessions/" + laptop.Socket.Hello.Session.String()
	if a := request(t, url, phone.Token(), http.MethodDelete, path, ""); a.status != http.StatusNoContent {
		t.Errorf("end a session: %d %s", a.status, a.body)
	}
	if code := CloseCode(t, laptop); code != wire.CloseRevoked {
		t.Errorf("closed with %d", code)
	}
	if a := request(t, url, laptop.Token(), http.MethodGet, "/me", ""); a.status != http.StatusUnauthorized {
		t.Errorf("its token: %d %s", a.status, a.body)
	}
	body := `{"old":"` + testPassword + `","new":"` + testPassword + ` 2"}`
	if a := request(t, url, phone.Token(), http.MethodPut, "/me/password", body); a.status != http.StatusNoContent {
		t.Errorf("another password: %d %s", a.status, a.body)
	}
	if code := CloseCode(t, tablet); code != wire.CloseRevoked {
		t.Errorf("after another password: closed with %d", code)
	}
	if a := request(t, url, phone.Token(), http.MethodGet, "/me", ""); a.status != http.StatusOK {
		t.Errorf("the session that changed it: %d %s", a.status, a.body)
	}
}

// What says for which account it is meant is done for that one or not at all: the
// pages of one browser share a cookie.
func meantForAnotherAccount(t *testing.T, url string) {
	aki, ben := join(t, url, "aki"), join(t, url, "ben")
	g, err := aki.CreateGroup(t.Context(), "Team", ben.Me().ID)
	if err != nil {
		t.Fatal(err)
	}
	messages := fmt.Sprintf("/conversations/%s/messages", g.ID)
	credentials := fmt.Sprintf(`{"name":%q,"password":%q,"cookie":true}`, ben.Me().Name, testPassword)
	a := request(t, url, "", http.MethodPost, "/login", credentials)
	if a.status != http.StatusOK {
		t.Fatalf("log in: %d %s", a.status, a.body)
	}
	cookie, _, _ := strings.Cut(a.header.Get("Set-Cookie"), ";")
	asked := func(account chat.UserID, method, path, text string, header ...string) *answer {
		return request(t, url, "", method, path, text, append(header, "Cookie", cookie, "Hikyaku-Account", account.String())...)
	}
	refused := func(what string, a *answer) {
		t.Helper()
		var p struct{ Code, Detail string }
		a.into(t, &p)
		if a.status != http.StatusPreconditionFailed || p.Code != "other_account" || p.Detail == "" {
			t.Errorf("%s: %d %s", what, a.status, a.body)
		}
	}
	message := `{"id":"` + client.NewClientID().String() + `","body":"written by Aki"}`
	refused("a message", asked(aki.Me().ID, http.MethodPost, messages, message))
	refused("a log-out", asked(aki.Me().ID, http.MethodPost, "/logout", ""))
	socket := "/socket?account=" + aki.Me().ID.String()
	refused("a socket", request(t, url, "", http.MethodGet, socket, "", "Cookie", cookie))
	refused("with a token", request(t, url, ben.Token(), http.MethodGet, "/me", "", "Hikyaku-Account", aki.Me().ID.String()))

	// The name of a session that is over takes no cookie along: the browser has another.
	var former, me struct{ Session chat.SessionID }
	asked(ben.Me().ID, http.MethodGet, "/me", "").into(t, &former)
	a = asked(ben.Me().ID, http.MethodPost, "/login", credentials)
	if a.status != http.StatusOK {
		t.Fatalf("log in again: %d %s", a.status, a.body)
	}
	cookie, _, _ = strings.Cut(a.header.Get("Set-Cookie"), ";")
	a = asked(ben.Me().ID, http.MethodDelete, "/sessions/"+former.Session.String(), "")
	if a.status != http.StatusNotFound || a.header.Get("Set-Cookie") != "" {
		t.Errorf("log out of a session that was over: %d %v", a.status, a.header)
	}
	a = asked(ben.Me().ID, http.MethodGet, "/me", "")
	if a.into(t, &me); a.status != http.StatusOK {
		t.Errorf("the right account: %d %s", a.status, a.body)
	}
	socket = "/socket?account=" + ben.Me().ID.String()
	if a := request(t, url, "", http.MethodGet, socket, "", "Cookie", cookie); a.status != http.StatusUpgradeRequired {
		t.Errorf("a socket of the right account: %d %s", a.status, a.body)
	}
	ben.SendMessage(g.ID, "written by Ben")
	if m := Await[wire.Message](aki, "message", nil); m.Seq != 1 || m.Body != "written by Ben" {
		t.Errorf("%+v was stored", m)
	}
	// A session that ends itself by its name takes its cookie along.
	a = asked(ben.Me().ID, http.MethodDelete, "/sessions/"+me.Session.String(), "")
	if a.status != http.StatusNoContent || !strings.Contains(a.header.Get("Set-Cookie"), "Max-Age=0") {
		t.Errorf("log out: %d %v", a.status, a.header)
	}
}

// login connects another session of an account.
func login(t testing.TB, url, name string) *User {
	t.Helper()
	c, err := client.New(url)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Login(t.Context(), name, testPassword); err != nil {
		t.Fatal(err)
	}
	return Connect(t, c)
}

// A message may be sent through the REST API as well, under the same rules.
func sendByREST(t *testing.T, url string) {
	aki, ben := join(t, url, "aki"), join(t, url, "ben")
	d, err := aki.CreateDirect(t.Context(), ben.Me().ID)
	if err != nil {
		t.Fatal(err)
	}
	id := client.NewClientID()
	path, body := fmt.Sprintf("/conversations/%s/messages", d.ID), `{"id":"`+id.String()+`","body":"by REST"}`
	for range 2 {
		a := request(t, url, aki.Token(), http.MethodPost, path, body)
		var got struct{ ID chat.ClientID }
		a.into(t, &got)
		if a.status != http.StatusAccepted || got.ID != id {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
	for _, p := range []*User{aki, ben} {
		if m := Await(p, "message", IsBody("by REST")); m.ClientID != id || m.Seq != 1 {
			t.Errorf("%+v", m)
		}
	}
	aki.Send(wire.Send{T: "send", ID: id, Conversation: d.ID, Body: "by REST"})
	Await(aki, "accepted", IsID(id))
	ExpectNone(ben, "message", IsBody("by REST"))
}

// A link lets its holder into a group.
func links(t *testing.T, url string) {
	aki, ben := join(t, url, "aki"), join(t, url, "ben")
	g, err := aki.CreateGroup(t.Context(), "Team")
	if err != nil {
		t.Fatal(err)
	}
	a := request(t, url, aki.Token(), http.MethodPost, fmt.Sprintf("/conversations/%s/links", g.ID), `{"max_uses":1}`)
	var link struct{ Token string }
	a.into(t, &link)
	if a.status != http.StatusCreated || link.Token == "" {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if a := request(t, url, ben.Token(), http.MethodPost, "/links/nothing/join", ""); a.status != http.StatusNotFound {
		t.Errorf("no such link: %d %s", a.status, a.body)
	}
	if a := request(t, url, ben.Token(), http.MethodPost, "/links/"+link.Token+"/join", ""); a.status != http.StatusOK {
		t.Errorf("join: %d %s", a.status, a.body)
	}
	Await(aki, "conversation", func(f wire.ConversationFrame) bool { return len(f.Joined) == 1 && f.Joined[0].ID == ben.Me().ID })
	eve := join(t, url, "eve")
	if a := request(t, url, eve.Token(), http.MethodPost, "/links/"+link.Token+"/join", ""); a.status != http.StatusNotFound {
		t.Errorf("a link that is used up: %d %s", a.status, a.body)
	}
}
