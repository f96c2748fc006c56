package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// newMetrics returns a registry with the metrics of every process; roles add their
// own.
func newMetrics(cfg Config) *prometheus.Registry {
	r := prometheus.NewRegistry()
	roles := make([]string, len(cfg.Roles))
	for i, role := range cfg.Roles {
		roles[i] = string(role)
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "hikyaku_process_info", Help: "Always 1; its labels say which process this is.",
		ConstLabels: prometheus.Labels{"roles": strings.Join(roles, ","), "pid": strconv.Itoa(os.Getpid()), "version": cfg.Version},
	})
	info.Set(1)
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), info)
	return r
}

// countBatches adds the metrics of a hop: how many batches have gone over it, and
// how many items were in them.
func (a *App) countBatches(hop string, totals func() (batches, items uint64)) {
	labels := prometheus.Labels{"hop": hop}
	a.metrics.MustRegister(
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "hikyaku_batches_total", Help: "Batches that have gone over a hop: what goes with one write, one publish or one transaction.", ConstLabels: labels,
		}, func() float64 { batches, _ := totals(); return float64(batches) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "hikyaku_batch_items_total", Help: "Messages, frames or events in the batches of a hop.", ConstLabels: labels,
		}, func() float64 { _, items := totals(); return float64(items) }),
	)
}

// startMetrics serves the process's metrics to Prometheus on a separate address:
// they are for the operator, and must never be reachable on the public address.
func (a *App) startMetrics(ctx context.Context) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.metrics, promhttp.HandlerOpts{ErrorLog: metricsErrorLog{a}}))
	return a.serveAuxiliary(ctx, "--metrics-listen", a.cfg.MetricsListen, mux, "/metrics")
}

// metricsErrorLog logs the errors of promhttp.
type metricsErrorLog struct{ a *App }

func (q metricsErrorLog) Println(v ...any) {
	q.a.log.Warn("metrics could not be served", "error", fmt.Sprint(v...))
}

// serveAuxiliary serves a handler on an address besides the main one. It does
// nothing when addr is empty.
func (a *App) serveAuxiliary(ctx context.Context, setting, addr string, handler http.Handler, path string) error {
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
			a.log.Error("an auxiliary listener ended", "setting", setting, "error", err)
		}
	}()
	a.onStop(setting, func(context.Context) error {
		err := server.Close()
		<-done
		return err
	})
	a.log.Info("serving on an auxiliary listener", "setting", setting, "at", fmt.Sprintf("http://%s%s", l.Addr(), path))
	return nil
}
