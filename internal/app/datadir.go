package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/hikyaku-chat/hikyaku/internal/snowflake"
	"github.com/hikyaku-chat/hikyaku/internal/store/sqlite"
)

// DatabaseFile is the name of the embedded store in the data folder.
const DatabaseFile = "hikyaku.db"

// Node numbers with which the processes on one data folder generate ids: the
// server, of which the lock allows only one, and an operator's command besides it.
const (
	serverNode   = 0
	operatorNode = 1
)

// lockFile prevents that two servers use one data folder. It contains the process
// id, for the error message.
const lockFile = "hikyaku.lock"

// openData opens the embedded store in dir, and creates dir if needed. It takes no
// lock: a server does so with lockDataDir; an operator's command works besides a
// running server.
func openData(ctx context.Context, dir string, node int, log *slog.Logger) (*sqlite.Store, error) {
	if err := makeDataDir(dir); err != nil {
		return nil, err
	}
	ids, err := snowflake.NewGenerator(node, nil)
	if err != nil {
		return nil, err
	}
	return sqlite.Open(ctx, sqlite.Config{Path: filepath.Join(dir, DatabaseFile), NewID: ids.Next, Logger: log})
}

func makeDataDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("--data: the folder %s cannot be made: %w", dir, rootCause(err))
	}
	probe, err := os.CreateTemp(dir, ".write-test-*")
	if err != nil {
		return fmt.Errorf("--data: the folder %s cannot be written to (%w); choose another one or fix its permissions", dir, rootCause(err))
	}
	_ = probe.Close()
	return os.Remove(probe.Name())
}

// rootCause returns the system's error without the path, which the message already
// has.
func rootCause(err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}

// lockDataDir locks the data folder for this process until release is called. The
// lock ends with the process, also when that crashes.
func lockDataDir(dir string) (release func(), err error) {
	path := filepath.Join(dir, lockFile)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("--data: the lock %s cannot be opened: %w", path, rootCause(err))
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		owner, _ := os.ReadFile(path)
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("--data: the folder %s is in use by another hikyaku (process %s); stop it or choose another folder", dir, owner)
		}
		return nil, fmt.Errorf("--data: the lock %s cannot be taken: %w", path, err)
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = fmt.Fprintf(f, "%d", os.Getpid())
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("--data: the lock %s cannot be written: %w", path, rootCause(err))
	}
	return func() { _ = f.Close() }, nil
}
