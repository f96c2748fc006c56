package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hikyaku-chat/hikyaku/internal/api"
	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// freeGuesses is how many guesses are checked before a client must wait: three
// without a delay, and the one that starts the delay.
const freeGuesses = 4

// hookedStore is a store that signals when a password is about to be checked.
type hookedStore struct {
	store.Store
	before atomic.Pointer[func() error]
}

// Credentials is called before every check.
func (c *hookedStore) Credentials(ctx context.Context, name string) (chat.User, string, error) {
	if before := c.before.Load(); before != nil {
		if err := (*before)(); err != nil {
			return chat.User{}, "", err
		}
	}
	return c.Store.Credentials(ctx, name)
}

// status sends a request from an address, and returns the status of the response.
func (c *client) status(peer, method, path string, body object) int {
	b, err := json.Marshal(body)
	if err != nil {
		c.t.Error(err)
	}
	r := httptest.NewRequestWithContext(c.t.Context(), method, "/api/v1"+path, bytes.NewReader(b))
	r.RemoteAddr = peer
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+c.token)
	w := httptest.NewRecorder()
	c.handler.ServeHTTP(w, r)
	return w.Code
}

func TestGuessingIsThrottled(t *testing.T) {
	f := start(t, api.Open)
	f.register("aki")
	nobody := &client{fixture: f}
	for range freeGuesses {
		nobody.refused("POST", "/login", object{"name": "aki", "password": "wrong wrong"}, 401, "unauthenticated", "")
	}
	p := nobody.refused("POST", "/login", object{"name": "aki", "password": "correct horse"}, 429, "rate_limited", "password")
	if p["retry_after_ms"].(float64) <= 0 {
		t.Errorf("%v", p)
	}
}

// Of concurrent guesses no more are checked than of sequential ones, although
// none has failed before all have arrived.
func TestConcurrentGuesses(t *testing.T) {
	const guesses = 60
	for name, tt := range map[string]struct {
		wrong int // status of a guess that was checked
		guess func(aki *client, i int) int
	}{
		"at one name": {http.StatusUnauthorized, func(aki *client, i int) int {
			return aki.status(fmt.Sprintf("192.0.2.%d:999", i), "POST", "/login", object{"name": "aki", "password": "wrong wrong"})
		}},
		"from one address": {http.StatusUnauthorized, func(aki *client, i int) int {
			return aki.status("192.0.2.1:999", "POST", "/login", object{"name": fmt.Sprint("nobody", i), "password": "wrong wrong"})
		}},
		"with a stolen session": {http.StatusForbidden, func(aki *client, _ int) int {
			return aki.status("192.0.2.1:999", "PUT", "/me/password", object{"old": "wrong wrong", "new": "correct horse"})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			f := start(t, api.Open)
			aki := f.register("aki")
			// Nobody is checked before every guess was either let
			// through or told to wait.
			var come, checked atomic.Int64
			all := make(chan struct{})
			arrive := func() {
				if come.Add(1) == guesses {
					close(all)
				}
			}
			before := func() error {
				checked.Add(1)
				arrive()
				<-all
				return nil
			}
			f.checks.before.Store(&before)
			var guessers sync.WaitGroup
			var wrong, waiting atomic.Int64
			for i := range guesses {
				guessers.Go(func() {
					switch status := tt.guess(aki, i); status {
					case tt.wrong:
						wrong.Add(1)
					case http.StatusTooManyRequests:
						waiting.Add(1)
						arrive()
					default:
						t.Errorf("status %d", status)
					}
				})
			}
			guessers.Wait()
			if checked.Load() != freeGuesses || wrong.Load() != freeGuesses || waiting.Load() != guesses-freeGuesses {
				t.Errorf("%d were checked and %d were wrong of %d; %d must wait; want %d, %d, %d",
					checked.Load(), wrong.Load(), guesses, waiting.Load(), freeGuesses, freeGuesses, guesses-freeGuesses)
			}
		})
	}
}

// Only attempts that were checked and wrong count.
func TestAttemptsThatDoNotCount(t *testing.T) {
	f := start(t, api.Open)
	aki := f.register("aki")
	login := func(password string) int {
		return aki.status("192.0.2.1:999", "POST", "/login", object{"name": "aki", "password": password})
	}
	change := func(old, fresh string) int {
		return aki.status("192.0.2.1:999", "PUT", "/me/password", object{"old": old, "new": fresh})
	}
	failing := func() error { return errors.New("the store is unavailable") }
	f.checks.before.Store(&failing)
	for range 2 * freeGuesses {
		if got := login("correct horse"); got != http.StatusInternalServerError {
			t.Errorf("while the store is unavailable: %d", got)
		}
		if got := change("correct horse", "battery staple"); got != http.StatusInternalServerError {
			t.Errorf("while the store is unavailable: %d", got)
		}
	}
	f.checks.before.Store(nil)
	for range 2 * freeGuesses {
		if got := login("correct horse"); got != http.StatusOK {
			t.Errorf("the right password: %d", got)
		}
		if got := change("correct horse", "battery staple"); got != http.StatusNoContent {
			t.Errorf("the right old password: %d", got)
		}
		if got := change("battery staple", "correct horse"); got != http.StatusNoContent {
			t.Errorf("back again: %d", got)
		}
	}
	// Of the address, what others guessed stays through a success.
	for i := range freeGuesses {
		if got := aki.status("192.0.2.1:999", "POST", "/login", object{"name": "ben", "password": "wrong wrong"}); got != http.StatusUnauthorized {
			t.Errorf("guess %d: %d", i, got)
		}
		if i == freeGuesses-1 {
			break
		}
		if got := login("correct horse"); got != http.StatusOK {
			t.Errorf("after guess %d: %d", i, got)
		}
	}
	if got := login("correct horse"); got != http.StatusTooManyRequests {
		t.Errorf("after all guesses: %d", got)
	}
}

// Wrong guesses from elsewhere do not keep who is logged in from changing the
// password, perhaps because of them.
func TestGuessesFromElsewhereLeaveTheSessionAlone(t *testing.T) {
	f := start(t, api.Open)
	aki := f.register("aki")
	for i := range 2 * freeGuesses {
		aki.status(fmt.Sprintf("192.0.2.%d:999", i), "POST", "/login", object{"name": "aki", "password": "wrong wrong"})
	}
	aki.ok("PUT", "/me/password", object{"old": "correct horse", "new": "battery staple"})
}

// A browser that has logged in before is not kept out by guesses from elsewhere. Its
// own are counted, and its cookie is of no use to another account.
func TestKnownDevices(t *testing.T) {
	f := start(t, api.Open)
	f.register("aki")
	f.register("ben")
	nobody := &client{fixture: f}
	login := func(name, password string, cookie *http.Cookie) (answer, object) {
		return nobody.request("POST", "/api/v1/login", object{"name": name, "password": password, "cookie": true}, func(r *http.Request) {
			if cookie != nil {
				r.AddCookie(cookie)
			}
		})
	}
	device := func(a answer) *http.Cookie {
		t.Helper()
		for _, c := range a.cookies {
			if c.Name == "hikyaku_device" && c.HttpOnly {
				return c
			}
		}
		t.Fatalf("no cookie of the device: %v", a.cookies)
		return nil
	}
	first, _ := login("aki", "correct horse", nil)
	known := device(first)
	for i := range 2 * freeGuesses {
		nobody.status(fmt.Sprintf("192.0.2.%d:999", i), "POST", "/login", object{"name": "aki", "password": "wrong wrong"})
	}
	if a, _ := login("aki", "correct horse", nil); a.status != http.StatusTooManyRequests {
		t.Errorf("a browser that is not known: %d", a.status)
	}
	again, _ := login("aki", "correct horse", known)
	if again.status != http.StatusOK {
		t.Fatalf("the known browser: %d", again.status)
	}
	damaged := *known
	damaged.Value = "A" + damaged.Value[1:]
	for name, c := range map[string]*http.Cookie{"damaged": &damaged, "of another account": device(func() answer { a, _ := login("ben", "correct horse", nil); return a }())} {
		if a, _ := login("aki", "correct horse", c); a.status != http.StatusTooManyRequests {
			t.Errorf("a cookie that is %s: %d", name, a.status)
		}
	}
	// The renewed cookie is the same browser: its guesses are counted together.
	known = device(again)
	for i := range freeGuesses {
		if a, _ := login("aki", "wrong wrong", known); a.status != http.StatusUnauthorized {
			t.Errorf("guess %d: %d", i, a.status)
		}
	}
	if a, _ := login("aki", "correct horse", known); a.status != http.StatusTooManyRequests {
		t.Errorf("after its own guesses: %d", a.status)
	}
}

func TestClientNetworks(t *testing.T) {
	for name, tt := range map[string]struct {
		peers []string // of guesses at names of their own; they count together
		other string   // counts by itself
	}{
		"IPv4":                   {[]string{"192.0.2.1:1", "192.0.2.1:2", "[::ffff:192.0.2.1]:3", "[::ffff:192.0.2.1%eth0]:4"}, "192.0.2.2:1"},
		"a /64 of IPv6":          {[]string{"[2001:db8::1]:1", "[2001:db8::2]:1", "[2001:db8::ffff:0:0:1]:1", "[2001:db8::ffff:ffff:ffff:ffff]:1"}, "[2001:db8:0:1::1]:1"},
		"zones":                  {[]string{"[fe80::1%eth0]:1", "[fe80::1%eth1]:1", "[fe80::2]:1", "[fe80::3]:1"}, "[::1]:1"},
		"what is not an address": {[]string{"@", "@", "@", "@"}, "192.0.2.1:1"},
	} {
		t.Run(name, func(t *testing.T) {
			nobody := &client{fixture: start(t, api.Open)}
			names := 0
			guess := func(peer string) int {
				names++
				return nobody.status(peer, "POST", "/login", object{"name": fmt.Sprint("nobody", names), "password": "wrong wrong"})
			}
			for _, peer := range tt.peers {
				if got := guess(peer); got != http.StatusUnauthorized {
					t.Errorf("%s: %d", peer, got)
				}
			}
			for _, peer := range tt.peers {
				if got := guess(peer); got != http.StatusTooManyRequests {
					t.Errorf("%s, after %d guesses: %d", peer, freeGuesses, got)
				}
			}
			if got := guess(tt.other); got != http.StatusUnauthorized {
				t.Errorf("%s: %d", tt.other, got)
			}
		})
	}
}

// Who holds a link sees where it leads, and nothing else, however many wrong ones come
// from the same network.
func TestLinkPreview(t *testing.T) {
	f := start(t, api.Open)
	aki := f.register("aki")
	crew := aki.ok("POST", "/conversations", object{"kind": "group", "title": "Crew", "topic": "a secret"})
	path := "/conversations/" + crew["id"].(string) + "/links"
	link := aki.ok("POST", path, object{})
	nobody := &client{fixture: f}
	preview := "/links/" + link["token"].(string) + "/preview"
	for range 10 * freeGuesses {
		nobody.refused("GET", "/links/hky_guess/preview", nil, 404, "not_found", "token")
	}
	got := nobody.ok("GET", preview, nil)
	if len(got) != 2 || got["title"] != "Crew" || got["installation"] != "Hikyaku" {
		t.Errorf("%v", got)
	}
	aki.ok("DELETE", path+"/"+link["id"].(string), nil)
	nobody.refused("GET", preview, nil, 404, "not_found", "token")
}

// A visitor who is not logged in is told so without an error.
func TestSession(t *testing.T) {
	f := start(t, api.Open)
	aki := f.register("aki")
	if got := aki.ok("GET", "/session", nil); got["user"].(map[string]any)["id"] != aki.id || got["session"] == "" {
		t.Errorf("%v", got)
	}
	for _, token := range []string{"", "hky_of_nobody"} {
		if status := (&client{fixture: f, token: token}).status("192.0.2.1:9", "GET", "/session", nil); status != http.StatusNoContent {
			t.Errorf("with the token %q: %d", token, status)
		}
	}
}
