package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/puddle/v2"

	"github.com/hikyaku-chat/hikyaku/internal/chat"
	"github.com/hikyaku-chat/hikyaku/internal/store"
)

// SQLSTATE codes and classes, PostgreSQL's appendix A.
const (
	uniqueViolation      = "23505"
	invalidText          = "22P02"
	checkViolation       = "23514" // also a row without a partition, see isMissingPartition
	serializationFailed  = "40001"
	deadlockDetected     = "40P01"
	lockNotAvailable     = "55P03"
	readOnlyTransaction  = "25006"
	invalidPassword      = "28P01"
	invalidAuthorisation = "28000"
	unknownDatabase      = "3D000"
	notPermitted         = "42501"
	undefinedTable       = "42P01"
	adminShutdown        = "57P01" // also a single connection that an operator has ended
	crashShutdown        = "57P02"
)

func sqlState(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// isMissingPartition reports whether an error says that a row has no partition.
// It has the code of a violated check, and unlike one names no constraint.
func isMissingPartition(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && e.Code == checkViolation && e.ConstraintName == ""
}

// isConnectionLost reports whether an error says that a connection that was open is not
// any more; not that there is none to be had, or no answer in time.
func isConnectionLost(err error) bool {
	var connect *pgconn.ConnectError
	if err == nil || errors.As(err, &connect) {
		return false
	}
	switch sqlState(err) {
	case adminShutdown, crashShutdown:
		return true
	case "":
	default:
		return false
	}
	for _, lost := range []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, lost) {
			return true
		}
	}
	return false
}

// explain turns an error of the driver into a sentence for the operator.
// Refusals are returned unchanged.
func explain(err error) error {
	var explained *store.DatabaseError
	if err == nil || chat.CodeOf(err) != "" || errors.As(err, &explained) {
		return err
	}
	databaseError := func(retryable bool, format string, args ...any) error {
		return &store.DatabaseError{Text: fmt.Sprintf(format, args...), Retryable: retryable, Cause: err}
	}
	var e *pgconn.PgError
	var connect *pgconn.ConnectError
	var network net.Error
	switch {
	case errors.As(err, &e):
	case errors.Is(err, puddle.ErrClosedPool):
		return databaseError(true, "the database's connections are closed")
	case errors.As(err, &connect):
		// The driver's error has a line for every address that it tried.
		lines := strings.Split(err.Error(), "\n")
		var dial *net.OpError
		if !errors.As(err, &dial) && !errors.As(err, &network) {
			return databaseError(true, "--database: the server is not PostgreSQL, or closed the connection (%s); check the address", strings.TrimSpace(lines[len(lines)-1]))
		}
		return databaseError(true, "--database: the server does not answer (%s); check the address, and that it runs", strings.TrimSpace(lines[len(lines)-1]))
	case errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &network), errors.Is(err, context.DeadlineExceeded):
		return databaseError(true, "the database does not answer: %v", err)
	default:
		// Every other error of the driver is about a broken connection.
		return databaseError(true, "the database cannot be used: %v", err)
	}
	switch e.Code {
	case invalidPassword, invalidAuthorisation:
		return databaseError(false, "--database: the server refuses the login (%s); check user and password", e.Message)
	case unknownDatabase:
		return databaseError(false, "--database: %s; create it with ENCODING 'UTF8' TEMPLATE template0", e.Message)
	case notPermitted:
		return databaseError(false, "--database: the user may not do this (%s); make it the owner of the database and of its tables", e.Message)
	case undefinedTable:
		return databaseError(false, "--database: a table is missing (%s); run hikyaku migrate", e.Message)
	case serializationFailed, deadlockDetected, lockNotAvailable, readOnlyTransaction:
		return databaseError(true, "the database cannot do it now: %s", e.Message)
	}
	if isMissingPartition(err) { // not the fault of a message
		return databaseError(true, "the database has no partition for a month: %s", e.Message)
	}
	switch e.Code[:2] {
	case "08", "53", "57", "58": // connection, resources, operator, system
		return databaseError(true, "the database cannot do it now: %s", e.Message)
	case "22", "23", "54": // data, constraints, limits
		return &store.DatabaseError{Text: fmt.Sprintf("the database cannot store it: %s (SQLSTATE %s)", e.Message, e.Code), Poison: true, Cause: err}
	}
	return databaseError(false, "the database: %s (SQLSTATE %s)", e.Message, e.Code)
}

// wrap adds what was tried to an error.
func wrap(what string, err error) error { return store.Wrap(what, err, explain) }
