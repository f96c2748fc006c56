// Package origin decides which pages may act with the cookie of who visits them, and
// tells the operator of those that may not.
package origin

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

// Policy lets the pages of the address that a request asks for act, and those of
// the origins that the operator trusts. It is safe for concurrent use.
type Policy struct {
	trusted  []string
	requests *http.CrossOriginProtection
	log      *slog.Logger
	refused  rate.Sometimes // anybody can cause a line in the log
}

// New returns a policy that trusts other origins, such as https://chat.example.org,
// besides the server's own.
func New(trusted []string, log *slog.Logger) (*Policy, error) {
	p := &Policy{trusted: trusted, requests: http.NewCrossOriginProtection(), log: log, refused: rate.Sometimes{Interval: time.Minute}}
	for _, o := range trusted {
		if err := p.requests.AddTrustedOrigin(o); err != nil {
			return nil, fmt.Errorf("--origins: %q is not an origin, such as https://chat.example.org: %w", o, err)
		}
	}
	return p, nil
}

// CheckRequest returns a refusal for a request by which a page of another site would
// change something.
func (p *Policy) CheckRequest(r *http.Request) *chat.Error {
	if p.requests.Check(r) != nil {
		return p.refuse(r)
	}
	return nil
}

// CheckSocket returns a refusal for a page of another site that would open a
// WebSocket. Browsers always send Origin with an upgrade (RFC 6455, section 10.2);
// programs do not, and have a token that no page can have.
func (p *Policy) CheckSocket(r *http.Request) *chat.Error {
	origin := r.Header.Get("Origin")
	if origin == "" || slices.Contains(p.trusted, origin) {
		return nil
	}
	if u, err := url.Parse(origin); err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host) {
		return nil
	}
	return p.refuse(r)
}

// refuse logs what came in, once a minute at most: the page may be the installation's
// own, behind a proxy that asks for it under another name.
func (p *Policy) refuse(r *http.Request) *chat.Error {
	p.refused.Do(func() {
		p.log.WarnContext(r.Context(), "a page was refused: its address is not the one that this server is asked for; "+
			"if it is your own page, have the proxy pass on the Host header, or add the page's origin to --origins",
			"origin", clip(r.Header.Get("Origin")), "host", clip(r.Host), "path", clip(r.URL.Path))
	})
	return chat.Refuse(chat.CodeOriginRefused, "", "pages of other addresses may not do this, and the server is asked for as %s; if that is not its name, have the proxy pass on the Host header, or set --origins", clip(r.Host))
}

// clip bounds what anybody may write into a log or an answer.
func clip(s string) string { return s[:min(len(s), 255)] }
