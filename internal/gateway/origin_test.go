package gateway

import (
	"net/http/httptest"
	"testing"
)

func TestOriginAllowed(t *testing.T) {
	g := &Gateway{cfg: Config{Origins: []string{"https://chat.example.org"}}}
	for origin, want := range map[string]bool{
		"":                            true, // a program
		"http://127.0.0.1:8080":       true,
		"https://127.0.0.1:8080":      true, // TLS ends at the proxy
		"https://chat.example.org":    true,
		"https://evil.example":        false,
		"https://127.0.0.1:8080.evil": false,
		"http://127.0.0.1":            false,
		"null":                        false,
		"127.0.0.1:8080":              false,
	} {
		r := httptest.NewRequestWithContext(t.Context(), "GET", "http://127.0.0.1:8080/api/v1/socket", nil)
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		if got := g.originAllowed(r); got != want {
			t.Errorf("%q: %v, want %v", origin, got, want)
		}
	}
}
