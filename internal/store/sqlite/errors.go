package sqlite

import (
	"context"
	"errors"
	"fmt"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// explain turns an error of the driver into a sentence for the person who runs
// the system. Refusals and ended contexts pass unchanged.
func explain(path string, err error) error {
	var known *store.DatabaseError
	switch {
	case err == nil:
		return nil
	case chat.CodeOf(err) != "", errors.As(err, &known),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	}
	say := func(retryable bool, format string, args ...any) error {
		return &store.DatabaseError{Text: fmt.Sprintf(format, args...), Retryable: retryable, Cause: err}
	}
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return say(false, "the database %s: %v", path, err)
	}
	switch e.Code() & 0xff {
	case lib.SQLITE_BUSY, lib.SQLITE_LOCKED, lib.SQLITE_PROTOCOL:
		return say(true, "the database %s is in use by another process: %v", path, err)
	case lib.SQLITE_FULL:
		return say(true, "the disk that holds the database %s is full", path)
	case lib.SQLITE_IOERR:
		return say(true, "the database %s cannot be read or written: %v", path, err)
	case lib.SQLITE_NOMEM:
		return say(true, "there is no memory left to use the database %s", path)
	case lib.SQLITE_INTERRUPT, lib.SQLITE_ABORT:
		return say(true, "work on the database %s was interrupted: %v", path, err)
	case lib.SQLITE_CANTOPEN:
		return say(true, "the database %s cannot be opened; check that its folder exists and can be written to", path)
	case lib.SQLITE_READONLY, lib.SQLITE_PERM:
		return say(true, "the database %s cannot be written to; check the owner and the mode of the file and of its folder", path)
	case lib.SQLITE_CONSTRAINT, lib.SQLITE_TOOBIG, lib.SQLITE_MISMATCH:
		return &store.DatabaseError{Text: fmt.Sprintf("the database %s cannot keep it: %v", path, err), Poison: true, Cause: err}
	case lib.SQLITE_NOTADB:
		return say(false, "the file %s is not a database; move it away or give another path", path)
	case lib.SQLITE_CORRUPT:
		return say(false, "the database %s is damaged; restore it from a backup: %v", path, err)
	}
	return say(false, "the database %s: %v", path, err)
}

// wrap says what was tried.
func (s *Store) wrap(what string, err error) error {
	return store.Wrap(what, err, func(err error) error { return explain(s.path, err) })
}
