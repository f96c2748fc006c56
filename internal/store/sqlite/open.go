package sqlite

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"modernc.org/sqlite"

	"github.com/hikyaku-chat/hikyaku/internal/setting"
	"github.com/hikyaku-chat/hikyaku/internal/store"
	"github.com/hikyaku-chat/hikyaku/internal/store/storetx"
)

// Config configures a store.
type Config struct {
	Path      string           // of the database file; its folder must exist
	NewID     func() int64     // returns a new id; see package snowflake
	Now       func() time.Time // the clock; default time.Now
	Logger    *slog.Logger     // default slog.Default
	ReadConns int              // number of connections for concurrent reads, 1 to 1,000; default 4
}

// WithDefaults returns c with the default for each zero that has one.
func (c Config) WithDefaults() Config {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.ReadConns = cmp.Or(c.ReadConns, 4)
	return c
}

// Validate returns the first error of a field.
func (c Config) Validate() error {
	if c.Path == "" {
		return errors.New("path: none is given; give that of the database's file")
	}
	if c.NewID == nil {
		return errors.New("new-id: none is given; the store needs a function that returns ids")
	}
	return setting.Between("read-conns", c.ReadConns, 1, 1000, "connections that read, such as 4")
}

// Store is the embedded store; see the package's documentation.
type Store struct {
	storetx.Commands

	path   string
	newID  func() int64
	now    func() time.Time
	log    *slog.Logger
	secret []byte

	readers      chan *conn
	writer       *writer
	checkpointer *checkpointer

	epoch   store.CurrentEpoch
	epochMu sync.Mutex         // held while the epoch is read
	stop    context.CancelFunc // ends what checks the epoch
	checks  sync.WaitGroup     // what checks the epoch

	mu     sync.RWMutex // guards closed
	closed bool
	calls  sync.WaitGroup // between beginCall and endCall
	once   sync.Once
	err    error // of Close
}

var _ store.Store = (*Store)(nil)

const (
	busyTimeout    = 5 * time.Second
	writerCacheKiB = 32 << 10
	readerCacheKiB = 4 << 10
)

// Open opens the database, creates it when there is none, and migrates its
// schema.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	path, err := filepath.Abs(cfg.Path)
	if err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	s := &Store{path: path, newID: cfg.NewID, now: cfg.Now, log: cfg.Logger}
	s.Commands = storetx.New(s.update)
	if err := create(path); err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	if err := migrate(ctx, path); err != nil {
		return nil, s.wrap("open the store", err)
	}
	if err := s.start(ctx, cfg.ReadConns); err != nil {
		return nil, s.wrap("open the store", err)
	}
	if err := s.readEpoch(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	checks, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.checks.Go(func() { s.runEpochChecks(checks) })
	return s, nil
}

// start opens the connections and starts the writer.
func (s *Store) start(ctx context.Context, readConns int) (err error) {
	var opened []*conn
	defer func() {
		if err != nil {
			for _, c := range opened {
				_ = c.close()
			}
		}
	}()
	dial := func(extra ...string) (*conn, error) {
		c, err := dial(ctx, s.path, extra...)
		if err == nil {
			opened = append(opened, c)
		}
		return c, err
	}
	write, err := dial(fmt.Sprintf("cache_size(-%d)", writerCacheKiB))
	if err != nil {
		return err
	}
	if s.secret, err = secret(write); err != nil {
		return err
	}
	check, err := dial("cache_size(-64)")
	if err != nil {
		return err
	}
	s.readers = make(chan *conn, readConns)
	for range readConns {
		read, err := dial("query_only(1)", fmt.Sprintf("cache_size(-%d)", readerCacheKiB))
		if err != nil {
			return err
		}
		s.readers <- read
	}
	s.checkpointer = newCheckpointer(check, s.log)
	if s.writer, err = newWriter(write, s); err != nil {
		return err
	}
	go s.checkpointer.run(s.writer)
	go s.writer.run()
	return nil
}

// Close waits for calls in flight, moves everything from the log into the
// database file and closes.
func (s *Store) Close() error {
	s.once.Do(func() {
		if s.stop != nil {
			s.stop()
		}
		s.checks.Wait()
		s.mu.Lock()
		s.closed = true
		s.mu.Unlock()
		s.calls.Wait()
		s.writer.stop()
		errs := []error{s.checkpointer.close()}
		for range cap(s.readers) {
			errs = append(errs, (<-s.readers).close())
		}
		errs = append(errs, s.writer.close())
		if err := errors.Join(errs...); err != nil {
			s.err = s.wrap("close the store", err)
		}
	})
	return s.err
}

// beginCall begins a call; endCall ends it. Close waits for calls between them.
func (s *Store) beginCall() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return &store.DatabaseError{Text: "the store is closed", Retryable: true, Cause: fs.ErrClosed}
	}
	s.calls.Add(1)
	return nil
}

func (s *Store) endCall() { s.calls.Done() }

// Secret returns 32 random bytes that were created with the installation.
func (s *Store) Secret() []byte { return append([]byte(nil), s.secret...) }

func secret(c *conn) ([]byte, error) {
	fresh := make([]byte, 32)
	_, _ = rand.Read(fresh) // never fails
	if _, err := c.exec(`INSERT INTO installation (id, secret, change_ceiling, pings) VALUES (1, ?, 0, 0)
		ON CONFLICT DO NOTHING`, fresh); err != nil {
		return nil, err
	}
	// The first epoch. The column is younger than the table.
	if _, err := c.exec(`UPDATE installation SET epoch = ? WHERE epoch = ''`, randomEpoch()); err != nil {
		return nil, err
	}
	var kept []byte
	_, err := c.queryRow(`SELECT secret FROM installation`, func(r row) { kept = r.blob(0) })
	return kept, err
}

// create creates an empty file that only its owner may read. SQLite gives its
// other files (the log) the same mode. A file that exists is not opened: closing
// it would release the locks that this process has on it.
func create(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	switch {
	case err == nil:
		return f.Close()
	case errors.Is(err, fs.ErrExist):
		return nil
	}
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return &store.DatabaseError{
		Text:      fmt.Sprintf("the database %s cannot be created: %v; check that its folder exists and can be written to", path, err),
		Retryable: true, Cause: err,
	}
}

// dial opens a connection.
func dial(ctx context.Context, path string, extra ...string) (*conn, error) {
	connector, err := sqlite.NewConnector(dsn(path, extra...))
	if err != nil {
		return nil, err
	}
	raw, err := connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	c := &conn{raw: raw, stmts: map[string]*stmt{}, dest: make([]driver.Value, 32)}
	return c, nil
}

// dsn returns the data source name of the database. With a write-ahead log and
// synchronous FULL the log is fsynced at every commit, which makes an
// acknowledged change durable; NORMAL would fsync at checkpoints only.
func dsn(path string, extra ...string) string {
	pragmas := append([]string{
		fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()),
		"journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)", "temp_store(MEMORY)",
		// The checkpointer does it concurrently with the writer (checkpoint.go).
		"wal_autocheckpoint(0)",
	}, extra...)
	var b strings.Builder
	b.WriteString((&url.URL{Scheme: "file", OmitHost: true, Path: path}).String())
	for i, p := range pragmas {
		b.WriteByte("?&"[min(i, 1)])
		b.WriteString("_pragma=" + url.QueryEscape(p))
	}
	return b.String()
}
