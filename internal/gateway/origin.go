package gateway

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

// originAllowed reports whether the page that opens the connection may do so.
// It prevents that pages of other sites use a visitor's cookie. Browsers always
// send Origin with an upgrade (RFC 6455, section 10.2); programs do not, and
// have a token that no page can have.
func (g *Gateway) originAllowed(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" || slices.Contains(g.cfg.Origins, origin) {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host)
}

// refuse answers a refused upgrade with a problem document (RFC 9457).
func refuse(w http.ResponseWriter, status int, e *chat.Error) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{
		"type": "about:blank", "title": http.StatusText(status), "status": status, "detail": e.Text, "code": e.Code,
	})
}
