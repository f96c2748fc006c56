package app

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/api"
	"github.com/hikyaku-chat/hikyaku/internal/broker/rabbitmq"
	"github.com/hikyaku-chat/hikyaku/internal/gateway"
	"github.com/hikyaku-chat/hikyaku/internal/password"
	"github.com/hikyaku-chat/hikyaku/internal/store/postgres"
	"github.com/hikyaku-chat/hikyaku/internal/webpush"
)

// Config is the configuration of a process. The command line fills it; see
// cmd/hikyaku for names and defaults.
type Config struct {
	Listen         string // address and port, such as 127.0.0.1:8080
	DebugListen    string // address and port for profiles; empty for none
	MetricsListen  string // address and port for Prometheus metrics; empty for none
	Roles          []Role
	Registration   string          // open, invitation or closed
	SetupToken     string          // who has it makes the first account, from 16 characters; default one of the installation's own
	Registrations  int             // how many accounts one network may make in a minute, from 1; three times as many at once
	Origins        []string        // other origins whose pages may connect
	HSTS           time.Duration   // how long browsers that came by HTTPS stay with it for the whole host, to 10 years; 0 takes it back
	BasePath       string          // path below which browsers find the installation, such as /chat/; default /
	TrustedProxies []string        // addresses and ranges whose X-Forwarded-* headers are trusted
	Drain          time.Duration   // how long a stop may take
	Gateway        gateway.Config  // the operator's limits over its defaults
	Hash           password.Config // likewise
	Push           PushConfig
	Version        string
	Logger         *slog.Logger

	// Data is the data folder of the embedded backends, which connect the roles
	// of one process. It is not used when servers are configured.
	Data string

	// The servers that the processes of a cluster share; set all or none.
	Database            string        // postgres://…, the primary
	Replicas            []string      // postgres://…, for history and search
	DatabaseConnections int           // maximum to each server; 0 means the store's default
	Brokers             []string      // amqp://…, nodes of one cluster
	Linger              time.Duration // how long a message waits for company at a gateway at most, and half as long at a worker; 0 for not at all
	Partitions          int           // of the broker's queue; must be the same in all processes, for ever
	DeadLetterRetention time.Duration // how long RabbitMQ keeps a dead letter
	MaxDeadLetters      int           // how many it keeps
	Redis               string        // redis://…
}

// clustered reports whether the backends are servers, and not embedded.
func (c *Config) clustered() bool {
	return c.Database != "" || len(c.Brokers) > 0 || c.Redis != "" || len(c.Replicas) > 0
}

// needsBackends reports whether any role uses the backends; only the role ui does
// not.
func (c *Config) needsBackends() bool {
	return slices.ContainsFunc(c.Roles, func(r Role) bool { return r != RoleUI })
}

// Validate returns an error for a configuration that cannot work. Zeros are refused
// where the command line has another default: an operator may have meant them. It
// sets Roles to AllRoles when there are none, and puts a slash at the end of
// BasePath.
func (c *Config) Validate() error {
	if slices.Contains(c.Roles, RolePush) && c.Push.Contact == "" {
		return errors.New("--push-contact: the role push needs an address where push services reach you, such as mailto:you@example.org")
	}
	if len(c.Roles) == 0 {
		c.Roles = AllRoles
	}
	for _, role := range c.Roles {
		if !slices.Contains(AllRoles, role) {
			return fmt.Errorf("--roles: there is no role %q; choose from %s", role, joinRoles(AllRoles))
		}
	}
	if err := c.validateBackends(); err != nil {
		return err
	}
	if err := c.validateLimits(); err != nil {
		return err
	}
	if err := webpush.CheckContact(c.Push.Contact); c.Push.Contact != "" && err != nil {
		return fmt.Errorf("--push-contact: %w", err)
	}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		return fmt.Errorf("--listen: %q is not an address and port, such as 127.0.0.1:8080", c.Listen)
	}
	if _, err := parseProxies(c.TrustedProxies); err != nil {
		return err
	}
	if err := c.cleanBasePath(); err != nil {
		return err
	}
	return flagged(api.Registration(c.Registration).Validate())
}

func (c *Config) validateBackends() error {
	switch {
	case !c.needsBackends():
		return nil
	case !c.clustered():
		return c.validateEmbedded()
	}
	role := c.Roles[slices.IndexFunc(c.Roles, func(r Role) bool { return r != RoleUI })]
	const missing = "--%s: the role %s needs %s besides the servers that are given; give an address such as %s"
	switch {
	case c.Database == "":
		return fmt.Errorf(missing, "database", role, "PostgreSQL", "postgres://user:password@host:5432/hikyaku")
	case len(c.Brokers) == 0:
		return fmt.Errorf(missing, "broker", role, "RabbitMQ", "amqp://user:password@host:5672/hikyaku")
	case c.Redis == "":
		return fmt.Errorf(missing, "redis", role, "Redis", "redis://:password@host:6379/0")
	}
	queue, database := rabbitmq.Config{}.WithDefaults(), postgres.Config{}.WithDefaults()
	queue.URLs, queue.Partitions = c.Brokers, c.Partitions
	queue.DeadLetterRetention, queue.MaxDeadLetters = c.DeadLetterRetention, c.MaxDeadLetters
	queue.Linger = c.Linger
	database.URL, database.Connections = c.Database, c.DatabaseConnections
	return flagged(cmp.Or(queue.Validate(), database.Validate()))
}

// validateEmbedded checks that all roles that share the embedded backends run in
// this process.
func (c *Config) validateEmbedded() error {
	for _, role := range []Role{RoleWorker, RoleGateway, RoleAPI} {
		if !slices.Contains(c.Roles, role) {
			return fmt.Errorf("--roles: the embedded broker and store need the roles %s in one process, and %s is missing; to split them, give --database, --broker and --redis",
				joinRoles([]Role{RoleWorker, RoleGateway, RoleAPI}), role)
		}
	}
	return nil
}

func joinRoles(roles []Role) string {
	names := make([]string, len(roles))
	for i, r := range roles {
		names[i] = string(r)
	}
	return strings.Join(names, ", ")
}
