package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/stack"
)

// checkOther rejects settings that do not apply to another system than Hikyaku.
func (c *stackCommand) checkOther() error {
	if c.System == "hikyaku" {
		return nil
	}
	for flag, asked := range map[string]bool{
		"rabbitmq-nodes": c.RabbitmqNodes != 1, "redis-cluster": c.RedisCluster, "apis": c.Apis != 2, "set": len(c.Set) > 0,
		"gateways": c.System == "ejabberd" && c.Gateways != 2, "workers": c.System == "ejabberd" && c.Workers != nil,
	} {
		if asked {
			return fmt.Errorf("--%s: %s has nothing of the kind; leave it away", flag, c.System)
		}
	}
	return nil
}

// ejabberd returns the options of that system.
func (c *stackCommand) ejabberd() stack.EjabberdOptions { return stack.EjabberdOptions{Port: c.Port} }

// reference returns the options of that system: the operator's values over the
// defaults.
func (c *stackCommand) reference() stack.ReferenceOptions {
	o := stack.ReferenceOptions{}.WithDefaults()
	o.Port, o.Gateways = c.Port, c.Gateways
	if c.Workers != nil {
		o.Workers = *c.Workers
	}
	return o
}

// runOther runs another system until the process is asked to stop.
func (c *stackCommand) runOther(ctx context.Context, std streams) (err error) {
	folder, err := stack.NewFolder()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, folder.Close()) }()
	_, _ = fmt.Fprintf(std.out, "Starting %s and the servers that it needs …\n", c.System)
	started := time.Now()
	settings, addrs, err := c.startOther(ctx, folder)
	if err != nil {
		if ctx.Err() != nil {
			return nil // asked to stop while it started
		}
		return err
	}
	settings["server-pid"], settings["server-data"] = list(allProcesses(folder)), folder.Path()
	path := filepath.Join(folder.Path(), "bench.yaml")
	if err := writeSettings(path, settings); err != nil {
		return err
	}
	if err := printProcesses(std.out, folder, addrs); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(std.out, "Logs and data are in %s until it stops; nothing is kept.\n"+
		"To measure it: hikyaku bench latency --config %s\n"+
		"%s is ready after %.0f s: %s\n", folder.Path(), path, c.System, time.Since(started).Seconds(), settings["url"])
	c.watch(ctx, std, folder)
	_, _ = fmt.Fprintln(std.out, "Stopping …")
	if err := folder.Close(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(std.out, "%s has stopped.\n", c.System)
	return err
}

// startOther starts another system. It returns the settings for bench, and the
// addresses of its processes.
func (c *stackCommand) startOther(ctx context.Context, folder *stack.Folder) (settings map[string]string, addrs map[int]string, err error) {
	addrs = map[int]string{}
	if c.System == "ejabberd" {
		e, err := stack.StartEjabberd(ctx, folder, c.ejabberd())
		if err != nil {
			return nil, nil, err
		}
		addrs[e.PID()] = strings.TrimPrefix(e.URL(), "http://")
		return map[string]string{"system": c.System, "url": e.URL()}, addrs, nil
	}
	r, err := stack.StartReference(ctx, folder, c.reference())
	if err != nil {
		return nil, nil, err
	}
	for i, p := range r.Gateways {
		addrs[p.PID()] = strings.TrimPrefix(r.URLs()[i], "http://")
	}
	return map[string]string{
		"system": c.System, "url": strings.Join(r.URLs(), ","), "reference-database": r.Database(),
	}, addrs, nil
}

// writeSettings writes a file for --config that only its owner can read: it may
// contain a password, which must not be on a command line.
func writeSettings(path string, settings map[string]string) error {
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&text, "%s: %q\n", name, settings[name])
	}
	return os.WriteFile(path, []byte(text.String()), 0o600)
}
