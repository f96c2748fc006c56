package main

import (
	"reflect"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/hikyaku-chat/hikyaku/internal/bench/distributed"
	"github.com/hikyaku-chat/hikyaku/internal/bench/load"
	"github.com/hikyaku-chat/hikyaku/internal/broker/rabbitmq"
	"github.com/hikyaku-chat/hikyaku/internal/gateway"
	notify "github.com/hikyaku-chat/hikyaku/internal/notifier"
	"github.com/hikyaku-chat/hikyaku/internal/password"
	"github.com/hikyaku-chat/hikyaku/internal/stack"
	"github.com/hikyaku-chat/hikyaku/internal/store/postgres"
)

func parseDefaults(t *testing.T, command any) {
	t.Helper()
	parser, err := kong.New(command)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(nil); err != nil {
		t.Fatal(err)
	}
}

// What the help calls the default is what the package goes by whose setting it
// is.
func TestDefaultsAreThePackages(t *testing.T) {
	var c serveCommand
	parseDefaults(t, &c)
	cfg, err := c.config()
	if err != nil {
		t.Fatal(err)
	}
	var others stackCommand
	parseDefaults(t, &others)
	others.Port = 0 // the command's own
	var latency benchLatency
	parseDefaults(t, &latency)
	for name, pair := range map[string][2]any{
		"gateway":     {cfg.Gateway, gateway.Config{}.WithDefaults()},
		"password":    {cfg.Hash, password.Config{}.WithDefaults()},
		"notifier":    {cfg.Push.Delay, notify.Config{}.WithDefaults().Delay},
		"partitions":  {cfg.Partitions, rabbitmq.Config{}.WithDefaults().Partitions},
		"cluster":     {others.options(), stack.Options{}.WithDefaults()},
		"reference":   {others.reference(), stack.ReferenceOptions{}.WithDefaults()},
		"body":        {latency.Body, load.Options{}.WithDefaults().BodySize},
		"processes":   {latency.Processes, distributed.Options{}.WithDefaults().Processes},
		"connections": {cfg.DatabaseConnections, postgres.Config{}.WithDefaults().Connections},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Errorf("%s: the flags' defaults are %+v, the package's %+v", name, pair[0], pair[1])
		}
	}
}
