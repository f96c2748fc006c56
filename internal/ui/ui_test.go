package ui

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
)

func page(t *testing.T) *UI {
	t.Helper()
	u, err := New(fstest.MapFS{
		"index.html":           {Data: []byte(`<!doctype html><base href="/" />`)},
		"sw.js":                {Data: []byte(strings.Repeat("self.skipWaiting();\n", 100))},
		"assets/app-1234.js":   {Data: []byte("run()")},
		"manifest.webmanifest": {Data: []byte("{}")},
		"icon-192.png":         {Data: []byte("\x89PNG")},
		"icon.svg":             {Data: []byte("<svg/>")},
	}, "/chat/")
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func get(t *testing.T, u *UI, path string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	u.ServeHTTP(w, r)
	return w
}

// A browser takes a service worker only as a script, and one of the whole page
// only from its root. It holds the worker to the policy that comes with it,
// and must ask for a new one after an update.
func TestServiceWorker(t *testing.T) {
	u := page(t)
	r := get(t, u, "/sw.js", "Accept-Encoding", "gzip", "Service-Worker", "script")
	h := r.Header()
	if kind, _, _ := strings.Cut(h.Get("Content-Type"), ";"); r.Code != http.StatusOK || kind != "text/javascript" {
		t.Errorf("%d, %s", r.Code, kind)
	}
	if h.Get("Content-Encoding") != "gzip" || h.Get("Cache-Control") != "no-cache" {
		t.Errorf("encoding %q, cache %q", h.Get("Content-Encoding"), h.Get("Cache-Control"))
	}
	// Without directives of their own, workers and scripts go by default-src.
	policy := h.Get("Content-Security-Policy")
	for directive := range strings.SplitSeq(policy, ";") {
		name, sources, _ := strings.Cut(strings.TrimSpace(directive), " ")
		switch name {
		case "default-src", "worker-src", "child-src", "script-src", "connect-src":
			if !strings.Contains(sources+" ", "'self' ") {
				t.Errorf("%s does not let the worker run: %s", name, sources)
			}
		case "sandbox":
			t.Errorf("a page without an origin has no worker: %s", policy)
		}
	}
	if !strings.Contains(policy, "default-src") {
		t.Errorf("the policy allows everything: %q", policy)
	}
	if r := get(t, u, "/sw.js", "If-None-Match", h.Get("ETag")); r.Code != http.StatusNotModified {
		t.Errorf("asked again: %d", r.Code)
	}
}

func TestBasePath(t *testing.T) {
	u := page(t)
	for _, path := range []string{"/", "/c/0198"} {
		r := get(t, u, path)
		if !strings.Contains(r.Body.String(), `<base href="/chat/" />`) {
			t.Errorf("%s: %s", path, r.Body)
		}
		if policy := r.Header().Get("Content-Security-Policy"); !strings.Contains(policy, "base-uri 'self'") {
			t.Errorf("the policy does not let the page say where it is: %s", policy)
		}
	}
}

func TestPathsAndCaches(t *testing.T) {
	u := page(t)
	for _, c := range []struct {
		path, kind, cache string
		status            int
	}{
		{"/", "text/html", "no-cache", http.StatusOK},
		{"/c/0198", "text/html", "no-cache", http.StatusOK},
		{"/manifest.webmanifest", "application/manifest+json", "no-cache", http.StatusOK},
		{"/icon-192.png", "image/png", "no-cache", http.StatusOK},
		{"/icon.svg", "image/svg+xml", "no-cache", http.StatusOK},
		{"/assets/app-1234.js", "text/javascript", "public, max-age=31536000, immutable", http.StatusOK},
		{"/assets/app-0000.js", "text/plain", "", http.StatusNotFound},
	} {
		r := get(t, u, c.path)
		kind, _, _ := strings.Cut(r.Header().Get("Content-Type"), ";")
		if r.Code != c.status || kind != c.kind || r.Header().Get("Cache-Control") != c.cache {
			t.Errorf("%s: %d, %s, %q", c.path, r.Code, kind, r.Header().Get("Cache-Control"))
		}
	}
}
