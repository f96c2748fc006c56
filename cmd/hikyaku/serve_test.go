package main

import (
	"reflect"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/hikyaku-chat/hikyaku/internal/broker/rabbitmq"
	"github.com/hikyaku-chat/hikyaku/internal/gateway"
	notify "github.com/hikyaku-chat/hikyaku/internal/notifier"
	"github.com/hikyaku-chat/hikyaku/internal/password"
	"github.com/hikyaku-chat/hikyaku/internal/store/postgres"
)

// What the help calls the default is what the package goes by whose setting it
// is.
func TestDefaultsAreThePackages(t *testing.T) {
	var c serveCommand
	parser, err := kong.New(&c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(nil); err != nil {
		t.Fatal(err)
	}
	cfg, err := c.config()
	if err != nil {
		t.Fatal(err)
	}
	for name, pair := range map[string][2]any{
		"gateway":     {cfg.Gateway, gateway.Config{}.WithDefaults()},
		"password":    {cfg.Hash, password.Config{}.WithDefaults()},
		"notifier":    {cfg.Push.Delay, notify.Config{}.WithDefaults().Delay},
		"partitions":  {cfg.Partitions, rabbitmq.Config{}.WithDefaults().Partitions},
		"connections": {cfg.DatabaseConnections, postgres.Config{}.WithDefaults().Connections},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Errorf("%s: the flags' defaults are %+v, the package's %+v", name, pair[0], pair[1])
		}
	}
}
