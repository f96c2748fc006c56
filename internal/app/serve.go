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
)

// lameDuck is how long a process of a cluster still serves after it was told
// to stop, while it asks to be left: requests that are on their way to it are
// answered.
const lameDuck = time.Second

const (
	// answerTimeout is how long a client may take over an answer. Sockets
	// have limits of their own.
	writeTimeout = time.Minute
	// lastRequests is how long a process that stops waits for answers to be
	// taken.
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
		Handler:           a.closeIdleOnStop(proxies.handler(a.mux)),
		ReadHeaderTimeout: 10 * time.Second,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
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
		// Sockets are hijacked, so this waits for plain requests alone.
		polite, cancel := context.WithTimeout(ctx, shutdownTimeout)
		defer cancel()
		if a.server.Shutdown(polite) != nil {
			// Somebody takes an answer more slowly than everything else
			// that has to stop in time can wait for.
			a.log.Warn("requests were still being answered and are cut off")
			_ = a.server.Close()
		}
		<-done
		return nil
	})
	return nil
}

// closeIdleOnStop asks those who keep connections to this process to use them no more
// once it is stopping, so that none is closed with a request on its way.
func (a *App) closeIdleOnStop(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a.stopping.Load() && r.Header.Get("Upgrade") == "" {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}
