package app

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestCleanBasePath(t *testing.T) {
	for text, want := range map[string]string{
		"": "/", "/": "/", "/chat": "/chat/", "/chat/": "/chat/", "/apps/chat-1": "/apps/chat-1/", "/c1": "/c1/",
		"chat": "", "//": "", "/chat//": "", "//evil.example/": "", "/a//b": "", "/a/../b": "", "/./": "", "/a b/": "", `/"/`: "", "/ä": "",
		"/api": "", "/c/x": "", "https://chat.example/": "",
	} {
		c := Config{BasePath: text}
		err := c.cleanBasePath()
		if (err == nil) != (want != "") || err == nil && c.BasePath != want {
			t.Errorf("%q: %q, %v; want %q", text, c.BasePath, err, want)
		}
	}
}

func TestBelowBasePath(t *testing.T) {
	h := belowBasePath("/chat/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(r.URL.Path))
	}))
	for path, want := range map[string]string{
		"/chat/": "/", "/chat/api/v1/me": "/api/v1/me", "/api/v1/me": "/api/v1/me", "/healthz": "/healthz",
		"/": "/", "/chatter": "/chatter", "/chat": "to /chat/", "/chat?a=b": "to /chat/?a=b",
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		got := w.Body.String()
		if w.Code == http.StatusPermanentRedirect {
			got = "to " + w.Header().Get("Location")
		}
		if got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}
