package stack

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/hikyaku-chat/hikyaku/internal/setting"
)

// Options configure a cluster.
type Options struct {
	Binary        string   // path of hikyaku; default the running program
	Port          int      // of the entrance, to 65535; 0 for a free one
	RabbitMQNodes int      // 1 to 9; default 1
	RedisCluster  bool     // a cluster of three instead of a single Redis
	Gateways      int      // 1 to 100; default 2
	APIs          int      // 1 to 100; default 2; they serve the page, too
	Workers       int      // 1 to 100; default 2
	Pushers       int      // 1 to 100; default 1
	SetupToken    string   // makes the first account; default a random one
	Settings      []string // HIKYAKU_… variables of every process; GORACE as well, in tests
}

// WithDefaults returns o with the default for each zero, except Binary's, for
// which the system has to be asked, and SetupToken's, which is another each time.
func (o Options) WithDefaults() Options {
	o.RabbitMQNodes = cmp.Or(o.RabbitMQNodes, 1)
	o.Gateways = cmp.Or(o.Gateways, 2)
	o.APIs = cmp.Or(o.APIs, 2)
	o.Workers = cmp.Or(o.Workers, 2)
	o.Pushers = cmp.Or(o.Pushers, 1)
	return o
}

// Validate returns the first error of a field; a zero is one where it has a
// default.
func (o Options) Validate() error {
	for _, s := range o.Settings {
		if name, _, ok := strings.Cut(s, "="); !ok || !strings.HasPrefix(name, "HIKYAKU_") && name != "GORACE" {
			return fmt.Errorf("set: %q is not a setting; give one such as HIKYAKU_RATE=1000", s)
		}
	}
	return cmp.Or(
		validatePort(o.Port),
		setting.Between("rabbitmq-nodes", o.RabbitMQNodes, 1, 9, "the nodes of the RabbitMQ cluster, such as 1 or 3"),
		setting.Between("gateways", o.Gateways, 1, 100, "a number of processes, such as 2"),
		setting.Between("apis", o.APIs, 1, 100, "a number of processes, such as 2"),
		setting.Between("workers", o.Workers, 1, 100, "a number of processes, such as 2"),
		setting.Between("pushers", o.Pushers, 1, 100, "a number of processes, such as 1"),
	)
}

func validatePort(port int) error {
	return setting.Between("port", port, 0, 65535, "a port, such as 8080, or 0 for a free one")
}

const (
	// maxDatabaseConnections is how many connections PostgreSQL has for all
	// (deploy/postgresql), those kept for operators and commands left out.
	maxDatabaseConnections = 200 - 20
	// usualDatabaseConnections is how many a process has where there are enough:
	// the default of --database-connections.
	usualDatabaseConnections = 8
)

// databaseConnections returns how many connections to each PostgreSQL server a
// process may have, so that there are enough for all. Few are enough for each of
// many: what they wait for is the server.
func (o Options) databaseConnections() int {
	processes := o.Gateways + o.APIs + o.Workers + o.Pushers
	return max(1, min(usualDatabaseConnections, maxDatabaseConnections/processes))
}

// resolve returns valid options with all defaults, and the absolute path of the
// program.
func (o Options) resolve() (Options, error) {
	o = o.WithDefaults()
	o.SetupToken = cmp.Or(o.SetupToken, rand.Text())
	if err := o.Validate(); err != nil {
		return o, err
	}
	if o.Binary == "" {
		path, err := os.Executable()
		if err != nil {
			return o, fmt.Errorf("find the running program: %w", err)
		}
		o.Binary = path
	}
	path, err := filepath.Abs(o.Binary)
	if err != nil {
		return o, fmt.Errorf("find %s: %w", o.Binary, err)
	}
	o.Binary = path
	return o, nil
}

// ReferenceOptions configure the reference stack.
type ReferenceOptions struct {
	Port     int // of the first gateway, above which are those of the others, to 65535; 0 for free ones
	Gateways int // processes that hold sockets, 1 to 100; default 2
	Workers  int // 1 to 100; default 1
}

// WithDefaults returns o with the default for each zero.
func (o ReferenceOptions) WithDefaults() ReferenceOptions {
	o.Gateways = cmp.Or(o.Gateways, 2)
	o.Workers = cmp.Or(o.Workers, 1)
	return o
}

// Validate returns the first error of a field; a zero is one where it has a
// default.
func (o ReferenceOptions) Validate() error {
	return cmp.Or(
		validatePort(o.Port),
		setting.Between("gateways", o.Gateways, 1, 100, "a number of processes, such as 2"),
		setting.Between("workers", o.Workers, 1, 100, "a number of processes, such as 1"),
	)
}

// EjabberdOptions configure an ejabberd.
type EjabberdOptions struct {
	Port int // to 65535; 0 for a free one
}

// Validate returns the first error of a field.
func (o EjabberdOptions) Validate() error { return validatePort(o.Port) }
