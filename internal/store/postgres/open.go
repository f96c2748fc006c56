package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/hikyaku-chat/hikyaku/internal/rawtcp"
	"github.com/hikyaku-chat/hikyaku/internal/setting"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/store/storetx"
)

// Config configures a store.
type Config struct {
	URL         string           // of the primary: postgres://user:password@host:port/database
	Replicas    []string         // of streaming replicas, for history and search
	Connections int              // maximum number of connections to each server, 1 to 1,000; default 8, which an operator may also mean by 0
	Now         func() time.Time // the clock for stored times; default time.Now
	IDClock     func() time.Time // the clock for ids; default time.Now
	Logger      *slog.Logger     // default none
}

// WithDefaults returns c with the default for each zero that has one.
func (c Config) WithDefaults() Config {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.IDClock == nil {
		c.IDClock = time.Now
	}
	c.Connections = cmp.Or(c.Connections, 8)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Validate returns the first error of a field.
func (c Config) Validate() error {
	if c.URL == "" { // which the driver would fill in from the environment
		return errors.New("database: no address is given; give one such as postgres://user:password@host:5432/hikyaku")
	}
	return setting.Between("database-connections", c.Connections, 0, maxConnections, "connections to each PostgreSQL server, such as 8")
}

// Store is the store in PostgreSQL. See [Open].
type Store struct {
	storetx.Commands

	cfg           Config
	log           *slog.Logger
	now           func() time.Time
	pool          *pgxpool.Pool
	replicas      *replicas
	members       atomic.Pointer[memberCache]
	secret        []byte
	identity      string
	ids           *lease
	partitions    knownPartitions
	epoch         store.CurrentEpoch
	epochReads    atomic.Int64 // that have begun
	epochMu       sync.Mutex   // held while the epoch is set
	epochRead     int64        // that set it
	historyHidden atomic.Bool  // the server does not tell its history
	stop          context.CancelFunc
	done          sync.WaitGroup
	closeOnce     sync.Once
}

var _ store.Store = (*Store)(nil)

const (
	maxConnections = 1000
	// callTimeout bounds a call whose caller set no deadline.
	callTimeout = 15 * time.Second
)

// parse parses an address and sets what every connection needs. setting is the
// flag that the address comes from.
func parse(setting, url string) (*pgxpool.Config, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		// The driver's error contains the address with the password.
		return nil, fmt.Errorf("%s: the address cannot be read; it looks like postgres://user:password@host:5432/database", setting)
	}
	if cfg.ConnConfig.RuntimeParams["application_name"] == "" {
		cfg.ConnConfig.RuntimeParams["application_name"] = "hikyaku"
	}
	dial := cfg.ConnConfig.DialFunc
	cfg.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return rawtcp.New(c), nil
	}
	if cfg.ConnConfig.ConnectTimeout == 0 {
		cfg.ConnConfig.ConnectTimeout = 5 * time.Second
	}
	return cfg, nil
}

// Open connects to a database that [Migrate] has migrated.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	primary, err := parse("--database", cfg.URL)
	if err != nil {
		return nil, err
	}
	if err := checkSchema(ctx, primary.ConnConfig); err != nil {
		return nil, err
	}
	primary.MaxConns = int32(cfg.Connections) //nolint:gosec // bounded
	s := &Store{cfg: cfg, log: cfg.Logger, now: cfg.Now}
	primary.AfterConnect = s.checkConnection
	if s.pool, err = pgxpool.NewWithConfig(ctx, primary); err != nil {
		return nil, explain(err)
	}
	s.members.Store(newMemberCache())
	s.Commands = storetx.New(s.update)
	background, stop := context.WithCancel(context.Background())
	s.stop = stop
	if err := s.open(ctx, background); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Store) open(ctx, background context.Context) (err error) {
	if err := s.pool.QueryRow(ctx, `SELECT secret, id::text FROM installation`).Scan(&s.secret, &s.identity); err != nil {
		return explain(err)
	}
	if err := s.createPartitions(ctx); err != nil {
		return err
	}
	if s.replicas, err = openReplicas(ctx, s.pool, s.cfg, s.log); err != nil {
		return err
	}
	if s.ids, err = acquireLease(ctx, s.pool, s.cfg.IDClock); err != nil {
		return err
	}
	s.replicas.stopped = background.Done()
	s.done.Go(func() { s.replicas.run(background) })
	s.done.Go(func() { s.runPartitionMaintenance(background) })
	s.done.Go(func() { s.runEpochChecks(background) })
	s.done.Go(func() { s.ids.run(background, s.log) })
	return nil
}

// Secret returns the installation's secret; see the contract.
func (s *Store) Secret() []byte { return s.secret }

// Installation returns the id of the installation that the database belongs to.
func (s *Store) Installation() string { return s.identity }

// ClaimPartitions records how many partitions the installation's broker has, and
// refuses another number: a conversation would change its partition, and two
// workers could store it at the same time.
func (s *Store) ClaimPartitions(ctx context.Context, n int) error {
	var have int
	if err := s.pool.QueryRow(ctx, `UPDATE installation SET partitions = coalesce(partitions, $1) RETURNING partitions`, n).Scan(&have); err != nil {
		return explain(err)
	}
	if have != n {
		return fmt.Errorf("--partitions: this installation has %d partitions, not %d; the number cannot change while messages may be in the queues", have, n)
	}
	return nil
}

// BrokerClaimed reports whether a broker has been prepared for the installation.
func (s *Store) BrokerClaimed(ctx context.Context) (claimed bool, err error) {
	err = s.pool.QueryRow(ctx, `SELECT broker_claimed FROM installation`).Scan(&claimed)
	return claimed, explain(err)
}

// ClaimBroker records that a broker has been prepared.
func (s *Store) ClaimBroker(ctx context.Context) error {
	_, err := s.pool.Exec(ctx, `UPDATE installation SET broker_claimed = true WHERE NOT broker_claimed`)
	return explain(err)
}

// ForgetBroker clears that record, so that the next process that starts prepares
// another broker.
func ForgetBroker(ctx context.Context, url string) error {
	cfg, err := parse("--database", url)
	if err != nil {
		return err
	}
	conn, err := pgx.ConnectConfig(ctx, cfg.ConnConfig)
	if err != nil {
		return explain(err)
	}
	_, err = conn.Exec(ctx, `UPDATE installation SET broker_claimed = false, partitions = NULL`)
	return errors.Join(explain(err), conn.Close(ctx))
}

// Ping reports, by a nil error, that the primary answers and is writable.
func (s *Store) Ping(ctx context.Context) error {
	var replica bool
	if err := s.pool.QueryRow(ctx, `SELECT pg_is_in_recovery()`).Scan(&replica); err != nil {
		return wrap("ping the database", err)
	}
	if replica {
		return errReplica
	}
	return nil
}

// Close waits for calls in flight and closes the connections. It is idempotent.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		s.stop()
		s.done.Wait()
		if s.ids != nil {
			s.ids.release()
		}
		if s.replicas != nil {
			s.replicas.close()
		}
		s.pool.Close()
	})
	return nil
}
