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

	"github.com/hikyaku-chat/hikyaku/internal/gateway"
	"github.com/hikyaku-chat/hikyaku/internal/webpush"
)

// Config is the configuration of a process. The command line fills it; see
// cmd/hikyaku for names and defaults.
type Config struct {
	Listen         string // address and port, such as 127.0.0.1:8080
	DebugListen    string // address and port for profiles; empty for none
	MetricsListen  string // address and port for Prometheus metrics; empty for none
	Roles          []Role
	Registration   string         // open, invitation or closed
	Origins        []string       // other origins whose pages may connect
	TrustedProxies []string       // addresses and ranges whose X-Forwarded-* headers are trusted
	Drain          time.Duration  // how long a stop may take
	Gateway        gateway.Config // the limits that flags set must not be zero
	Hash           HashConfig
	Push           PushConfig
	Version        string
	Logger         *slog.Logger

	// Data is the data folder of the embedded backends, which connect the roles
	// of one process. It is not used when servers are configured.
	Data string

	// The servers that the processes of a cluster share; set all or none.
	Database            string   // postgres://…, the primary
	Replicas            []string // postgres://…, for history and search
	DatabaseConnections int      // maximum to each server; 0 means the store's default
	Brokers             []string // amqp://…, nodes of one cluster
	Partitions          int      // of the broker's queue; must be the same in all processes, for ever
	Redis               string   // redis://…
}

// HashConfig has the limits of password hashing.
type HashConfig struct {
	MemoryKiB   int // memory of one hash
	Concurrency int // hashes computed at the same time
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

// Validate returns an error for a configuration that cannot work. It sets Roles to
// AllRoles when there are none.
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
	if !slices.Contains([]string{"open", "invitation", "closed"}, c.Registration) {
		return fmt.Errorf("--registration: %q is not one of open, invitation, closed", c.Registration)
	}
	return nil
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
	return cmp.Or(
		validatePartitions(c.Partitions),
		checkRange("database-connections", c.DatabaseConnections, 0, 1000, "connections to each PostgreSQL server, such as 8"),
	)
}

func validatePartitions(n int) error {
	return checkRange("partitions", n, 1, maxPartitions, "the number that all processes of the installation have, such as 16")
}

// maxPartitions is the maximum number of queues. Each costs every node of RabbitMQ
// memory and work, and more have no benefit.
const maxPartitions = 256

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
