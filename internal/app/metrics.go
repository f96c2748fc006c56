package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// newMetrics are what every process tells of itself; roles add their own.
func newMetrics() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// startMetrics serves the process's metrics to Prometheus, on an address of
// their own: they are for whoever runs it, and must never be reachable by way of
// the entrance.
func (a *App) startMetrics(ctx context.Context) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.metrics, promhttp.HandlerOpts{ErrorLog: quietly{a}}))
	return a.serveAside(ctx, "--metrics-listen", a.cfg.MetricsListen, mux, "/metrics")
}

// quietly logs what promhttp complains of.
type quietly struct{ a *App }

func (q quietly) Println(v ...any) {
	q.a.log.Warn("a metric cannot be told", "error", fmt.Sprint(v...))
}

// serveAside serves something on an address beside the main one; on none when
// the setting is empty.
func (a *App) serveAside(ctx context.Context, setting, addr string, handler http.Handler, path string) error {
	if addr == "" {
		return nil
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("%s: cannot listen on %s: %w; choose another address and port, such as 127.0.0.1:9090", setting, addr, err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			a.log.Error("nothing is served any more", "setting", setting, "error", err)
		}
	}()
	a.onStop(setting, func(context.Context) error {
		err := server.Close()
		<-done
		return err
	})
	a.log.Info("served aside", "setting", setting, "at", fmt.Sprintf("http://%s%s", l.Addr(), path))
	return nil
}
