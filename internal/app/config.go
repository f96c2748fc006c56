package app

import (
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/gateway"
)

// Config is an installation as the operator describes it. The command line
// fills it; see cmd/hikyaku for names and defaults.
type Config struct {
	Listen       string // address and port, such as 127.0.0.1:8080
	Data         string // folder of the embedded parts
	Roles        []Role
	Registration string // open, invitation or closed
	Origins      []string
	Drain        time.Duration // how long a stop may take
	Gateway      gateway.Config
	Hash         HashConfig
	Version      string
	Logger       *slog.Logger
}

// HashConfig bounds the work of password hashing.
type HashConfig struct {
	MemoryKiB int // of one hash
	AtOnce    int // hashes at work
}

// Role is a part of the system that a process can play.
type Role string

// The roles.
const (
	RoleGateway Role = "gateway" // holds the sockets
	RoleAPI     Role = "api"     // serves the REST API
	RoleWorker  Role = "worker"  // stores messages
	RoleUI      Role = "ui"      // serves the page
)

// AllRoles is every role, in the order in which they start.
var AllRoles = []Role{RoleWorker, RoleGateway, RoleAPI, RoleUI}

// Validate finds what cannot work before anything is started.
func (c *Config) Validate() error {
	if len(c.Roles) == 0 {
		c.Roles = AllRoles
	}
	for _, role := range c.Roles {
		if !slices.Contains(AllRoles, role) {
			return fmt.Errorf("--roles: there is no role %q; choose from %s", role, joinRoles(AllRoles))
		}
	}
	// The embedded parts connect the roles inside one process.
	for _, role := range AllRoles {
		if role != RoleUI && !slices.Contains(c.Roles, role) {
			return fmt.Errorf("--roles: the embedded broker and store need the roles %s in one process; %s is missing",
				joinRoles([]Role{RoleWorker, RoleGateway, RoleAPI}), role)
		}
	}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		return fmt.Errorf("--listen: %q is not an address and port, such as 127.0.0.1:8080", c.Listen)
	}
	if !slices.Contains([]string{"open", "invitation", "closed"}, c.Registration) {
		return fmt.Errorf("--registration: %q is not one of open, invitation, closed", c.Registration)
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
