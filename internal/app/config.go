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

// Config is a process as the operator describes it. The command line fills it;
// see cmd/hikyaku for names and defaults.
type Config struct {
	Listen         string // address and port, such as 127.0.0.1:8080
	DebugListen    string // address and port of profiles; empty for none
	MetricsListen  string // address and port of Prometheus' metrics; empty for none
	Roles          []Role
	Registration   string          // open, invitation or closed
	Origins        []string        // of pages elsewhere that may open sockets
	TrustedProxies []string        // addresses and ranges whose X-Forwarded-* is believed
	Drain          time.Duration   // how long a stop may take
	Gateway        gateway.Config  // the operator's limits over its defaults
	Hash           password.Config // likewise
	Push           PushConfig
	Version        string
	Logger         *slog.Logger

	// Data is the folder of the embedded parts, which connect the roles of
	// one process. With addresses of servers it is not used.
	Data string

	// The servers that the processes of a cluster share; all or none.
	Database            string   // postgres://…, the primary
	Replicas            []string // postgres://…, for history and search
	DatabaseConnections int      // at most so many to each; 0 means the store's default
	Brokers             []string // amqp://…, nodes of one cluster
	Partitions          int      // of the broker's queue; the same in all processes, for ever
	Redis               string   // redis://…
}

// clustered tells whether the parts are servers.
func (c *Config) clustered() bool {
	return c.Database != "" || len(c.Brokers) > 0 || c.Redis != "" || len(c.Replicas) > 0
}

// needsParts tells whether a role works with the parts at all; the page alone
// does not.
func (c *Config) needsParts() bool {
	return slices.ContainsFunc(c.Roles, func(r Role) bool { return r != RoleUI })
}

// Validate finds what cannot work before anything is started. Zeros are refused
// where the command line has another default: an operator may have meant them.
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
	if err := c.validateParts(); err != nil {
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
	return flagged(api.Registration(c.Registration).Validate())
}

func (c *Config) validateParts() error {
	switch {
	case !c.needsParts():
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
	database.URL, database.Connections = c.Database, c.DatabaseConnections
	return flagged(cmp.Or(queue.Validate(), database.Validate()))
}

// validateEmbedded: the embedded parts connect the roles inside one process.
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
