package origin

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

func policy(t *testing.T, log *bytes.Buffer) *Policy {
	t.Helper()
	p, err := New([]string{"https://chat.example.org"}, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func request(t *testing.T, method, origin string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "http://127.0.0.1:8080/api/v1/socket", nil)
	if origin != "" {
		r.Header.Set("Origin", origin)
	}
	return r
}

func TestCheckSocket(t *testing.T) {
	p := policy(t, &bytes.Buffer{})
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
		if got := p.CheckSocket(request(t, http.MethodGet, origin)) == nil; got != want {
			t.Errorf("%q: %v, want %v", origin, got, want)
		}
	}
}

func TestCheckRequest(t *testing.T) {
	p := policy(t, &bytes.Buffer{})
	for origin, want := range map[string]bool{
		"": true, "http://127.0.0.1:8080": true, "https://chat.example.org": true, "https://evil.example": false,
	} {
		if got := p.CheckRequest(request(t, http.MethodPost, origin)) == nil; got != want {
			t.Errorf("%q: %v, want %v", origin, got, want)
		}
	}
}

// The log says what came in and what to do about it, and nobody can fill it.
func TestRefusalsAreLogged(t *testing.T) {
	var log bytes.Buffer
	p := policy(t, &log)
	for range 100 {
		err := p.CheckSocket(request(t, http.MethodGet, "https://hikyaku.example"))
		if err == nil || err.Code != chat.CodeOriginRefused {
			t.Fatalf("%v", err)
		}
		_ = p.CheckRequest(request(t, http.MethodPost, "https://evil.example"))
	}
	text := log.String()
	if strings.Count(text, "\n") != 1 {
		t.Errorf("%d lines:\n%s", strings.Count(text, "\n"), text)
	}
	for _, part := range []string{"origin=https://hikyaku.example", "host=127.0.0.1:8080", "Host header", "--origins"} {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing: %s", part, text)
		}
	}
}

func TestOriginsAreChecked(t *testing.T) {
	for _, origin := range []string{"chat.example.org", "https://chat.example.org/", "*"} {
		if _, err := New([]string{origin}, slog.Default()); err == nil || !strings.Contains(err.Error(), "--origins") {
			t.Errorf("%q: %v", origin, err)
		}
	}
}
