package stack

import (
	"context"
	"path/filepath"
)

// Standalone is the whole system in one process, with the embedded backends.
type Standalone struct {
	*Process
	port    int
	metrics int // port of its metrics
	setup   string
}

// StartStandalone starts a system in one process in a folder; closing the
// folder ends it. It uses the options Binary, Port, SetupToken and Settings.
func StartStandalone(ctx context.Context, f *Folder, o Options) (*Standalone, error) {
	o, err := o.resolve()
	if err != nil {
		return nil, err
	}
	if o.Port == 0 {
		if o.Port, err = FreePort(); err != nil {
			return nil, err
		}
	}
	metrics, err := FreePort()
	if err != nil {
		return nil, err
	}
	a := &Standalone{port: o.Port, metrics: metrics, setup: o.SetupToken}
	args := []string{"serve", "--listen", a.Addr(), "--metrics-listen", loopback(metrics), "--data", filepath.Join(f.Path(), "data")}
	if a.Process, err = f.start(command{name: "hikyaku", path: o.Binary, args: args, env: append([]string{"HIKYAKU_SETUP_TOKEN=" + o.SetupToken}, o.Settings...), dir: f.Path()}); err != nil {
		return nil, err
	}
	return a, a.waitReady(ctx, a.Addr())
}

// Addr returns the address that it listens on.
func (a *Standalone) Addr() string { return loopback(a.port) }

// MetricsURL returns the address of its metrics for Prometheus.
func (a *Standalone) MetricsURL() string { return "http://" + loopback(a.metrics) + "/metrics" }

// SetupToken returns the token with which the first account is made.
func (a *Standalone) SetupToken() string { return a.setup }

// URL returns its address.
func (a *Standalone) URL() string { return "http://" + a.Addr() }
