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

// Numbers under which the processes on one folder make ids: the server, which
// is alone by its lock, and an operator's command beside it.
const (
	serverNode   = 0
	operatorNode = 1
)

// lockFile keeps two servers from one folder. It holds the process id, for the
// one who reads the message.
const lockFile = "hikyaku.lock"

// openData opens the embedded store in dir, which is made when it is missing.
// It takes no lock: a server does, with lockData; an operator's command works
// beside a running server.
func openData(ctx context.Context, dir string, node int, log *slog.Logger) (*sqlite.Store, error) {
	if err := makeDataDir(dir); err != nil {
		return nil, err
	}
	maker, err := snowflake.NewGenerator(node, nil)
	if err != nil {
		return nil, err
	}
	return sqlite.Open(ctx, sqlite.Config{Path: filepath.Join(dir, DatabaseFile), NewID: maker.Next, Logger: log})
}

func makeDataDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("--data: the folder %s cannot be made: %w", dir, rootCause(err))
	}
	probe, err := os.CreateTemp(dir, ".write-test-*")
	if err != nil {
		return fmt.Errorf("--data: the folder %s cannot be written to (%w); choose another one or mend its permissions", dir, rootCause(err))
	}
	_ = probe.Close()
	return os.Remove(probe.Name())
}

// rootCause is the system's word without the path, which the message has.
func rootCause(err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}

// lockDataDir makes the folder this process's own until release is called. The
// lock dies with the process, however it dies.
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
