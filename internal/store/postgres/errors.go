package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/puddle/v2"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// SQLSTATE codes and classes, PostgreSQL's appendix A.
const (
	uniqueViolation      = "23505"
	checkViolation       = "23514" // no partition for a row, among others
	serializationFailed  = "40001"
	deadlockDetected     = "40P01"
	lockNotAvailable     = "55P03"
	readOnlyTransaction  = "25006"
	invalidPassword      = "28P01"
	invalidAuthorisation = "28000"
	unknownDatabase      = "3D000"
	notPermitted         = "42501"
	undefinedTable       = "42P01"
)

func stateOf(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// explain turns an error of the driver into a sentence for the person who runs
// the system. Refusals pass unchanged.
func explain(err error) error {
	var known *store.DatabaseError
	if err == nil || chat.CodeOf(err) != "" || errors.As(err, &known) {
		return err
	}
	say := func(retryable bool, format string, args ...any) error {
		return &store.DatabaseError{Text: fmt.Sprintf(format, args...), Retryable: retryable, Cause: err}
	}
	var e *pgconn.PgError
	var connect *pgconn.ConnectError
	var network net.Error
	switch {
	case errors.As(err, &e):
	case errors.Is(err, puddle.ErrClosedPool):
		return say(true, "the database's connections are closed")
	case errors.As(err, &connect):
		// The driver gives a line for every address that it tried.
		lines := strings.Split(err.Error(), "\n")
		var dial *net.OpError
		if !errors.As(err, &dial) && !errors.As(err, &network) {
			return say(true, "--database: what answers is not PostgreSQL, or is no more (%s); check the address", strings.TrimSpace(lines[len(lines)-1]))
		}
		return say(true, "--database: the server does not answer (%s); check the address, and that it runs", strings.TrimSpace(lines[len(lines)-1]))
	case errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &network), errors.Is(err, context.DeadlineExceeded):
		return say(true, "the database does not answer: %v", err)
	default:
		// What else the driver says is of a connection that broke.
		return say(true, "the database cannot be used: %v", err)
	}
	switch e.Code {
	case invalidPassword, invalidAuthorisation:
		return say(false, "--database: the server does not let the user in (%s); check user and password", e.Message)
	case unknownDatabase:
		return say(false, "--database: %s; create it with ENCODING 'UTF8' TEMPLATE template0", e.Message)
	case notPermitted:
		return say(false, "--database: the user may not do this (%s); make it the owner of the database and of its tables", e.Message)
	case undefinedTable:
		return say(false, "--database: a table is missing (%s); run hikyaku migrate", e.Message)
	case serializationFailed, deadlockDetected, lockNotAvailable, readOnlyTransaction:
		return say(true, "the database cannot do it now: %s", e.Message)
	}
	switch e.Code[:2] {
	case "08", "53", "57", "58": // connection, resources, operator, system
		return say(true, "the database cannot do it now: %s", e.Message)
	case "22", "23", "54": // data, constraints, limits
		return &store.DatabaseError{Text: fmt.Sprintf("the database cannot keep it: %s (SQLSTATE %s)", e.Message, e.Code), Poison: true, Cause: err}
	}
	return say(false, "the database: %s (SQLSTATE %s)", e.Message, e.Code)
}

// wrap says what was tried.
func wrap(what string, err error) error { return store.Wrap(what, err, explain) }
