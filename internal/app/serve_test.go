package app_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Whatever is asked for, and whatever comes of it: a browser takes no answer for
// something else, and stays with HTTPS where it came by it.
func TestHeadersOfEveryAnswer(t *testing.T) {
	cfg := testConfig(t)
	cfg.TrustedProxies, cfg.HSTS = []string{"127.0.0.0/8"}, 365*24*time.Hour
	a := start(t, cfg)
	for _, path := range []string{"/", "/c/7", "/assets/none.js", "/healthz", "/readyz", "/api/v1/me", "/api/v1/installation", "/api/none", "/api/v1/socket"} {
		for _, scheme := range []string{"http", "https"} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.URL()+path, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("X-Forwarded-Proto", scheme)
			answer, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = answer.Body.Close()
			for header, want := range map[string]string{
				"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
				"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
				"Strict-Transport-Security": map[string]string{"https": "max-age=31536000"}[scheme],
			} {
				if got := answer.Header.Values(header); strings.Join(got, "; ") != want {
					t.Errorf("%s over %s: %s is %q, want %q", path, scheme, header, got, want)
				}
			}
			if answer.Header.Get("Referrer-Policy") == "" {
				t.Errorf("%s: no Referrer-Policy", path)
			}
		}
	}
}

// Who sends a body for ever, a byte at a time, does not keep the connection.
func TestSlowBodies(t *testing.T) {
	a := start(t, testConfig(t))
	for _, path := range []string{"/healthz", "/api/v1/login"} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(a.URL(), "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n{", path); err != nil {
				t.Fatal(err)
			}
			closed := make(chan struct{})
			go func() {
				defer close(closed)
				r := bufio.NewReader(conn)
				for {
					if _, err := r.ReadByte(); err != nil {
						return
					}
				}
			}()
			slowly := time.NewTicker(100 * time.Millisecond)
			defer slowly.Stop()
			gaveUp := time.After(patience)
			for {
				select {
				case <-closed:
					return
				case <-gaveUp:
					t.Fatal("the connection is still open")
				case <-slowly.C:
					_, _ = conn.Write([]byte(" "))
				}
			}
		})
	}
}
