package store

import (
	"fmt"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

// DatabaseError is an error of a backend. Its text is one sentence for the
// operator of the system.
type DatabaseError struct {
	Text      string
	Retryable bool // the same call may succeed later: ErrUnavailable
	Poison    bool // the input alone caused it: ErrPoison
	Cause     error
}

func (e *DatabaseError) Error() string { return e.Text }

// Unwrap returns the cause, and [ErrUnavailable] or [ErrPoison] where it applies.
func (e *DatabaseError) Unwrap() []error {
	switch {
	case e.Retryable:
		return []error{ErrUnavailable, e.Cause}
	case e.Poison:
		return []error{ErrPoison, e.Cause}
	}
	return []error{e.Cause}
}

// Wrap adds what was tried to the error of a failed call; explain turns an error
// of a backend into a [DatabaseError]. Refusals are returned unchanged: users see
// them.
func Wrap(what string, err error, explain func(error) error) error {
	if err == nil || chat.CodeOf(err) != "" {
		return err
	}
	return fmt.Errorf("%s: %w", what, explain(err))
}
