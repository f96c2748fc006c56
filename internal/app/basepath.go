package app

import (
	"fmt"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
)

// ownPaths are what paths of the installation begin with. A base path that begins
// like one could not be told from it.
var ownPaths = []string{"api", "assets", "c", "join", "register", "admin", "healthz", "readyz"}

// plainPath matches paths that are the same in a URL, in HTML and in a cookie.
var plainPath = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)*/$`)

// cleanBasePath checks BasePath, and puts a slash at its end.
func (c *Config) cleanBasePath() error {
	base := strings.TrimSuffix(c.BasePath, "/") + "/"
	first, _, _ := strings.Cut(base[1:], "/")
	switch {
	case !plainPath.MatchString(base) || path.Clean(base) != strings.TrimSuffix(base, "/") && base != "/":
		return fmt.Errorf("--base-path: %q is not a path of letters, digits and . _ ~ -, such as /chat/", c.BasePath)
	case slices.Contains(ownPaths, first):
		return fmt.Errorf("--base-path: /%s is a path of Hikyaku's own; choose another, such as /chat/", first)
	}
	c.BasePath = base
	return nil
}

// belowBasePath removes the base path from requests that have it, so that a proxy
// may pass the path on as it is, or without it.
func belowBasePath(base string, next http.Handler) http.Handler {
	if base == "/" {
		return next
	}
	below := http.StripPrefix(strings.TrimSuffix(base, "/"), next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, base):
			below.ServeHTTP(w, r)
		case r.URL.Path+"/" == base:
			to := url.URL{Path: base, RawQuery: r.URL.RawQuery}
			http.Redirect(w, r, to.String(), http.StatusPermanentRedirect)
		default:
			next.ServeHTTP(w, r)
		}
	})
}
