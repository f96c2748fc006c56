package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/stack"
)

// stackCommand runs the whole cluster on one machine, to try it; or another
// system, to compare with.
type stackCommand struct {
	System        string   `default:"hikyaku" enum:"hikyaku,ejabberd,reference" help:"What to run: hikyaku, ejabberd or reference (${default})." placeholder:"SYSTEM"`
	Port          int      `default:"8080" help:"Port of nginx; 0 for a free one (${default})."`
	RabbitmqNodes int      `default:"1" help:"Nodes of the RabbitMQ cluster (${default})." placeholder:"N"`
	RedisCluster  bool     `help:"A Redis Cluster of three instead of a single Redis."`
	Gateways      int      `default:"2" help:"Gateways (${default})." placeholder:"N"`
	Apis          int      `default:"2" help:"Processes that serve the API and the page (${default})." placeholder:"N"`
	Workers       *int     `help:"Workers (2; 1 for reference)." placeholder:"N"`
	Set           []string `help:"A setting for every process, such as HIKYAKU_RATE=1000." placeholder:"VARIABLE=VALUE"`
}

// options returns the cluster's options: the operator's values over the
// defaults.
func (c *stackCommand) options() stack.Options {
	o := stack.Options{}.WithDefaults()
	o.Port, o.RabbitMQNodes, o.RedisCluster, o.Gateways, o.APIs, o.Settings = c.Port, c.RabbitmqNodes, c.RedisCluster, c.Gateways, c.Apis, c.Set
	if c.Workers != nil {
		o.Workers = *c.Workers
	}
	return o
}

// check rejects settings that make no cluster, or none of the other system.
func (c *stackCommand) check() error {
	if err := c.checkOther(); err != nil {
		return err
	}
	switch c.System {
	case "ejabberd":
		return flagged(c.ejabberd().Validate())
	case "reference":
		return flagged(c.reference().Validate())
	}
	return flagged(c.options().Validate())
}

// Run runs the cluster, or the other system, until the process is asked to
// stop.
func (c *stackCommand) Run(ctx context.Context, std streams) error {
	if err := c.check(); err != nil {
		return err
	}
	if c.System != "hikyaku" {
		return c.runOther(ctx, std)
	}
	return c.runCluster(ctx, std)
}

func (c *stackCommand) runCluster(ctx context.Context, std streams) (err error) {
	folder, err := stack.NewFolder()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, folder.Close()) }()
	_, _ = fmt.Fprintln(std.out, "Starting PostgreSQL with a replica, RabbitMQ, Redis, and Hikyaku before them …")
	started := time.Now()
	cluster, err := stack.StartCluster(ctx, folder, c.options())
	if err != nil {
		if ctx.Err() != nil {
			return nil // asked to stop while it started
		}
		return err
	}
	addrs := map[int]string{}
	for _, m := range cluster.Members("") {
		addrs[m.PID()] = m.Addr() + "  " + m.MetricsURL()
	}
	path := filepath.Join(folder.Path(), "bench.yaml")
	if err := writeSettings(path, clusterToMeasure(cluster, folder)); err != nil {
		return err
	}
	if err := printProcesses(std.out, folder, addrs); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(std.out, "Logs and data are in %s until it stops; nothing is kept.\n"+
		"To operate it: hikyaku user list --config %s (deadletter, migrate alike)\n"+
		"To measure it: hikyaku bench latency --config %s\n"+
		"The cluster is ready after %.0f s: open %s/register#%s\n"+
		"That makes the first account, which administers it.\n", cluster.Logs(), cluster.SettingsFile(), path, time.Since(started).Seconds(), cluster.URL(), cluster.SetupToken())
	c.watch(ctx, std, folder)
	_, _ = fmt.Fprintln(std.out, "Stopping …")
	stopCtx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := cluster.Stop(stopCtx); err != nil {
		return err
	}
	if err := folder.Close(); err != nil {
		return err
	}
	_, err = fmt.Fprintln(std.out, "The cluster has stopped.")
	return err
}

// clusterToMeasure returns the settings with which bench measures a cluster, and
// what a message costs each of its processes.
func clusterToMeasure(cluster *stack.Cluster, folder *stack.Folder) map[string]string {
	return map[string]string{
		"url": cluster.URL(), "setup-token": cluster.SetupToken(), "server-pid": list(allProcesses(folder)), "server-metrics": list(memberMetrics(cluster)), "server-data": folder.Path(),
	}
}

// printProcesses lists the processes, with the addresses that are known.
func printProcesses(out io.Writer, folder *stack.Folder, addrs map[int]string) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	for _, p := range folder.Processes() {
		if p.Running() {
			_, _ = fmt.Fprintf(w, "  %s\tprocess %d\t%s\n", p.Name(), p.PID(), addrs[p.PID()])
		}
	}
	return w.Flush()
}

// watch waits until the process is asked to stop, and reports processes that
// end before: the cluster goes on without them, and whoever ended one wants to
// see that.
func (c *stackCommand) watch(ctx context.Context, std streams, folder *stack.Folder) {
	died := make(chan *stack.Process)
	var watching sync.WaitGroup
	defer watching.Wait()
	for _, p := range folder.Processes() {
		if !p.Running() {
			continue // a command such as migrate, which has done its work
		}
		watching.Go(func() {
			select {
			case <-ctx.Done():
				return
			case <-p.Done():
			}
			if p.Exited() {
				select {
				case died <- p:
				case <-ctx.Done():
				}
			}
		})
	}
	for {
		select {
		case <-ctx.Done():
			return
		case p := <-died:
			_, _ = fmt.Fprintf(std.out, "%s (process %d) has ended; the others go on without it. What it said last is in %s\n", p.Name(), p.PID(), p.Log())
		}
	}
}
