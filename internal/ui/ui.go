// Package ui serves the page that is built into the binary.
package ui

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
)

// csp is the Content-Security-Policy: no scripts, styles, images or connections
// from other origins, and none that are written in the page itself. Sockets of the
// same origin are 'self' as well (CSP 3, 6.7.2.8).
const csp = "default-src 'self'; style-src 'self'; img-src 'self' data: blob:; " +
	"connect-src 'self'; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"

// file is a file, ready to be sent.
type file struct {
	plain, gzipped []byte // zipped is nil when it saves less than a tenth
	mime           string
	etag           string
	immutable      bool // its name contains a hash of its content
}

// UI is the handler of the page. It has all files in memory, compressed once.
type UI struct{ files map[string]file }

// base is what index.html says of the path below which the page is.
const base = `<base href="/"`

// New reads the built page from files. basePath is the path below which browsers
// find the page, with a slash at its end. It returns an error when there is no page.
func New(files fs.FS, basePath string) (*UI, error) {
	u := &UI{files: map[string]file{}}
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		if name == "index.html" {
			if !bytes.Contains(b, []byte(base)) {
				return fmt.Errorf("index.html has no %s, so it cannot say below which path it is served", base)
			}
			b = bytes.Replace(b, []byte(base), []byte(`<base href="`+basePath+`"`), 1)
		}
		u.files[name] = prepare(name, b)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the page: %w", err)
	}
	if _, ok := u.files["index.html"]; !ok {
		return nil, errors.New("the page is not built into this binary; build it with make build")
	}
	return u, nil
}

func prepare(name string, b []byte) file {
	sum := sha256.Sum256(b)
	f := file{
		plain: b, mime: mime.TypeByExtension(path.Ext(name)), etag: `"` + hex.EncodeToString(sum[:8]) + `"`,
		immutable: strings.HasPrefix(name, "assets/"),
	}
	switch path.Ext(name) {
	case ".js":
		f.mime = "text/javascript; charset=utf-8" // not what the system's MIME table says
	case ".webmanifest":
		f.mime = "application/manifest+json"
	}
	if f.mime == "" {
		f.mime = "application/octet-stream"
	}
	var buf bytes.Buffer
	w, _ := gzip.NewWriterLevel(&buf, gzip.BestCompression)
	_, _ = w.Write(b) // a bytes.Buffer returns no error
	_ = w.Close()
	if buf.Len() < len(b)*9/10 {
		f.gzipped = buf.Bytes()
	}
	return f
}

// ServeHTTP implements http.Handler. A path that is not a file is a route of the
// page, so it gets index.html.
func (u *UI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "the page can only be read", http.StatusMethodNotAllowed)
		return
	}
	name := strings.TrimPrefix(path.Clean(r.URL.Path), "/")
	f, ok := u.files[name]
	switch {
	case !ok && strings.HasPrefix(name, "assets/"):
		http.NotFound(w, r) // a file of an older build; index.html would hide that
		return
	case !ok:
		f = u.files["index.html"]
	}
	h := w.Header()
	h.Set("Content-Type", f.mime)
	h.Set("Content-Security-Policy", csp)
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
	h.Set("Vary", "Accept-Encoding")
	h.Set("ETag", f.etag)
	h.Set("Cache-Control", "no-cache")
	if f.immutable {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	if r.Header.Get("If-None-Match") == f.etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	body := f.plain
	if f.gzipped != nil && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		body = f.gzipped
	}
	h.Set("Content-Length", fmt.Sprint(len(body)))
	if r.Method == http.MethodGet {
		_, _ = w.Write(body)
	}
}
