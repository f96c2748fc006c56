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

// trouble is an error of the file, said in one sentence that names it.
type trouble struct {
	text   string
	passes bool // the same call may succeed later
	poison bool // the input alone caused it
	cause  error
}

func (t *trouble) Error() string { return t.text }

// Unwrap gives the cause, and what the port says about it.
func (t *trouble) Unwrap() []error {
	switch {
	case t.passes:
		return []error{store.ErrUnavailable, t.cause}
	case t.poison:
		return []error{store.ErrPoison, t.cause}
	}
	return []error{t.cause}
}

// explain turns an error of the driver into a sentence for the person who runs
// the system. Refusals and ended contexts pass unchanged.
func explain(path string, err error) error {
	var refusal *chat.Error
	var known *trouble
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refusal), errors.As(err, &known),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	}
	say := func(passes bool, format string, args ...any) error {
		return &trouble{text: fmt.Sprintf(format, args...), passes: passes, cause: err}
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
		return &trouble{text: fmt.Sprintf("the database %s cannot keep it: %v", path, err), poison: true, cause: err}
	case lib.SQLITE_NOTADB:
		return say(false, "the file %s is not a database; move it away or give another path", path)
	case lib.SQLITE_CORRUPT:
		return say(false, "the database %s is damaged; restore it from a backup: %v", path, err)
	}
	return say(false, "the database %s: %v", path, err)
}

// wrap says what was tried. Refusals pass unchanged: they are for people.
func (s *Store) wrap(what string, err error) error {
	var refusal *chat.Error
	if err == nil || errors.As(err, &refusal) {
		return err
	}
	return fmt.Errorf("%s: %w", what, explain(s.path, err))
}
