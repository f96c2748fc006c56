package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hikyaku-chat/hikyaku/internal/auth"
)

// lameDuck is how long a process of a cluster serves requests after the stop has
// begun, while it reports that it is not ready and asks clients to close their
// connections: requests that are already on their way to it are answered.
const lameDuck = time.Second

const (
	// readTimeout is how long a client may take to send a request, after its first
	// byte. The API has a limit of its own for bodies.
	readTimeout = 10 * time.Second
	// writeTimeout is how long a client may take to read a response. WebSocket
	// connections have limits of their own.
	writeTimeout = time.Minute
	// shutdownTimeout is how long a process that stops waits until clients have
	// read their responses.
	shutdownTimeout = 3 * time.Second
)

func (a *App) listen(ctx context.Context) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", a.cfg.Listen)
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return fmt.Errorf("--listen: %s is in use by another program; stop it or choose another port", a.cfg.Listen)
	case errors.Is(err, unix.EACCES):
		return fmt.Errorf("--listen: this user may not listen on %s; choose a port above 1023", a.cfg.Listen)
	case err != nil:
		return fmt.Errorf("--listen: cannot listen on %s: %w", a.cfg.Listen, err)
	}
	a.listener = l
	a.onStop("listener", func(context.Context) error {
		_ = l.Close() // the server has closed it, unless it never ran
		return nil
	})
	return nil
}

func (a *App) serve() error {
	a.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	a.mux.HandleFunc("GET /readyz", a.ready)
	proxies, err := parseProxies(a.cfg.TrustedProxies)
	if err != nil {
		return err
	}
	a.server = &http.Server{
		Handler:        a.closeIdleOnStop(proxies.handler(a.secureHeaders(belowBasePath(a.cfg.BasePath, a.mux)))),
		ReadTimeout:    readTimeout,
		WriteTimeout:   writeTimeout,
		IdleTimeout:    2 * time.Minute,
		MaxHeaderBytes: 32 << 10,
		ErrorLog:       slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := a.server.Serve(a.listener); !errors.Is(err, http.ErrServerClosed) {
			a.fail(fmt.Errorf("the server ended: %w", err))
		}
	}()
	a.onStop("server", func(ctx context.Context) error {
		if !a.backends.standalone && a.backends.node != "" {
			select {
			case <-time.After(lameDuck):
			case <-ctx.Done():
			}
		}
		// WebSocket connections are hijacked, so this waits only for plain
		// requests.
		shutdownCtx, cancel := context.WithTimeout(ctx, shutdownTimeout)
		defer cancel()
		if a.server.Shutdown(shutdownCtx) != nil {
			// A client reads its response too slowly, and the rest of the
			// process has to stop in time.
			a.log.Warn("closing connections with unfinished requests")
			_ = a.server.Close()
		}
		<-done
		return nil
	})
	return nil
}

// secureHeaders adds to every answer what keeps browsers from taking it for something
// else, or from using it elsewhere. Over HTTPS they are told to stay there, unless the
// host has other pages besides, which may have none.
func (a *App) secureHeaders(next http.Handler) http.Handler {
	stay := fmt.Sprintf("max-age=%d", int(a.cfg.HSTS.Seconds()))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Referrer-Policy", "no-referrer")
		if auth.IsSecure(r) && a.cfg.BasePath == "/" {
			h.Set("Strict-Transport-Security", stay)
		}
		next.ServeHTTP(w, r)
	})
}

// closeIdleOnStop adds "Connection: close" to responses while the process is
// stopping. Clients then stop using their connections, so that none is closed
// with a request on its way.
func (a *App) closeIdleOnStop(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a.stopping.Load() && r.Header.Get("Upgrade") == "" {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}
