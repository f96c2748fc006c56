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

// explain turns an error of the driver into a sentence for the operator.
// Refusals and errors of contexts are returned unchanged.
func explain(path string, err error) error {
	var explained *store.DatabaseError
	switch {
	case err == nil:
		return nil
	case chat.CodeOf(err) != "", errors.As(err, &explained),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	}
	databaseError := func(retryable bool, format string, args ...any) error {
		return &store.DatabaseError{Text: fmt.Sprintf(format, args...), Retryable: retryable, Cause: err}
	}
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return databaseError(false, "the database %s: %v", path, err)
	}
	switch e.Code() & 0xff {
	case lib.SQLITE_BUSY, lib.SQLITE_LOCKED, lib.SQLITE_PROTOCOL:
		return databaseError(true, "the database %s is in use by another process: %v", path, err)
	case lib.SQLITE_FULL:
		return databaseError(true, "the disk that holds the database %s is full", path)
	case lib.SQLITE_IOERR:
		return databaseError(true, "the database %s cannot be read or written: %v", path, err)
	case lib.SQLITE_NOMEM:
		return databaseError(true, "there is not enough memory to use the database %s", path)
	case lib.SQLITE_INTERRUPT, lib.SQLITE_ABORT:
		return databaseError(true, "work on the database %s was interrupted: %v", path, err)
	case lib.SQLITE_CANTOPEN:
		return databaseError(true, "the database %s cannot be opened; check that its folder exists and can be written to", path)
	case lib.SQLITE_READONLY, lib.SQLITE_PERM:
		return databaseError(true, "the database %s cannot be written to; check the owner and the mode of the file and of its folder", path)
	case lib.SQLITE_CONSTRAINT, lib.SQLITE_TOOBIG, lib.SQLITE_MISMATCH:
		return &store.DatabaseError{Text: fmt.Sprintf("the database %s cannot store it: %v", path, err), Poison: true, Cause: err}
	case lib.SQLITE_NOTADB:
		return databaseError(false, "the file %s is not a database; move it away or give another path", path)
	case lib.SQLITE_CORRUPT:
		return databaseError(false, "the database %s is damaged; restore it from a backup: %v", path, err)
	}
	return databaseError(false, "the database %s: %v", path, err)
}

// wrap adds what was tried to an error.
func (s *Store) wrap(what string, err error) error {
	return store.Wrap(what, err, func(err error) error { return explain(s.path, err) })
}
