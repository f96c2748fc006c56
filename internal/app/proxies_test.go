package app

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestClientAddress(t *testing.T) {
	ours, err := parseProxies([]string{"10.0.0.5", "192.168.0.0/16", "fd00::/8"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, peer string
		forwarded  []string
		client     string
		secure     bool // whether X-Forwarded-Proto is kept
	}{
		{"no proxy", "203.0.113.7:999", nil, "203.0.113.7:999", false},
		{"a stranger's claim", "203.0.113.7:999", []string{"1.2.3.4"}, "203.0.113.7:999", false},
		{"one proxy", "10.0.0.5:80", []string{"203.0.113.7"}, "203.0.113.7:0", true},
		{"two proxies", "10.0.0.5:80", []string{"203.0.113.7, 192.168.3.4"}, "203.0.113.7:0", true},
		{"two headers", "10.0.0.5:80", []string{"203.0.113.7", "192.168.3.4"}, "203.0.113.7:0", true},
		{"a claim before the client", "10.0.0.5:80", []string{"1.2.3.4, 203.0.113.7"}, "203.0.113.7:0", true},
		{"rubbish", "10.0.0.5:80", []string{"<script>"}, "10.0.0.5:0", true},
		{"rubbish behind a proxy", "10.0.0.5:80", []string{"<script>, 192.168.3.4"}, "192.168.3.4:0", true},
		{"nothing said", "10.0.0.5:80", nil, "10.0.0.5:0", true},
		{"IPv6", "[fd00::1]:80", []string{"2001:db8::7"}, "[2001:db8::7]:0", true},
		{"IPv4 in IPv6", "[::ffff:10.0.0.5]:80", []string{"203.0.113.7"}, "203.0.113.7:0", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
			r.RemoteAddr = tt.peer
			r.Header["X-Forwarded-For"] = tt.forwarded
			r.Header.Set("X-Forwarded-Proto", "https")
			ours.handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				if r.RemoteAddr != tt.client {
					t.Errorf("the client is %s, want %s", r.RemoteAddr, tt.client)
				}
				if secure := r.Header.Get("X-Forwarded-Proto") != ""; secure != tt.secure {
					t.Errorf("X-Forwarded-Proto is kept: %v, want %v", secure, tt.secure)
				}
			})).ServeHTTP(httptest.NewRecorder(), r)
		})
	}
	if _, err := parseProxies([]string{"proxy.example"}); err == nil {
		t.Error("a name is taken for an address")
	}
}
