package store

import (
	"fmt"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
)

// DatabaseError is an error of a backend, said in one sentence for the person
// who runs the system.
type DatabaseError struct {
	Text      string
	Retryable bool // the same call may succeed later: ErrUnavailable
	Poison    bool // the input alone caused it: ErrPoison
	Cause     error
}

func (e *DatabaseError) Error() string { return e.Text }

// Unwrap gives the cause, and what the port says about it.
func (e *DatabaseError) Unwrap() []error {
	switch {
	case e.Retryable:
		return []error{ErrUnavailable, e.Cause}
	case e.Poison:
		return []error{ErrPoison, e.Cause}
	}
	return []error{e.Cause}
}

// Wrap says what was tried when a call failed; explain gives the sentence of a
// backend. Refusals pass unchanged: they are for people.
func Wrap(what string, err error, explain func(error) error) error {
	if err == nil || chat.CodeOf(err) != "" {
		return err
	}
	return fmt.Errorf("%s: %w", what, explain(err))
}
