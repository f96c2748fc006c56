package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Time-outs that the server enforces on our transactions. A process that hangs in
// the middle of one, or whose machine is gone without a word, holds the locks of
// its conversations until then; the deadlines of contexts end with it.
//
// Each transaction sets them for itself: behind PgBouncer a connection serves the
// transactions of many, and refuses settings when it is opened.
const (
	// idleTimeout is how long a transaction may wait for its next statement. There
	// is only computing between two.
	idleTimeout = 5 * time.Second
	// lockTimeout is how long a change waits for a lock. Longer, and calls for one
	// conversation that hangs would take all connections.
	lockTimeout = 5 * time.Second
	// appendLockTimeout is that of Append, which does not fail then.
	appendLockTimeout = time.Second
	// statementTimeout is more than a caller waits (callTimeout).
	statementTimeout = 30 * time.Second
)

// setTimeouts are statements that set the time-outs of a change.
var setTimeouts = fmt.Sprintf(`set local idle_in_transaction_session_timeout = %d; set local lock_timeout = %d; set local statement_timeout = %d`,
	idleTimeout.Milliseconds(), lockTimeout.Milliseconds(), statementTimeout.Milliseconds())

var (
	changeOptions       = pgx.TxOptions{BeginQuery: `begin; ` + setTimeouts}
	readOptions         = pgx.TxOptions{BeginQuery: `begin read only; ` + setTimeouts}
	readOneStateOptions = pgx.TxOptions{BeginQuery: `begin isolation level repeatable read read only; ` + setTimeouts}
)

// appendTimeouts is a query that sets the time-outs of an Append, within its
// first statement: one of its own would cost each batch a few percent.
var appendTimeouts = fmt.Sprintf(`SELECT set_config('idle_in_transaction_session_timeout', '%d', true), set_config('lock_timeout', '%d', true), set_config('statement_timeout', '%d', true)`,
	idleTimeout.Milliseconds(), appendLockTimeout.Milliseconds(), statementTimeout.Milliseconds())

// setIdleTimeout sets the time-out of a transaction that may take long, but does
// not wait for us.
func setIdleTimeout(ctx context.Context, t pgx.Tx) error {
	_, err := t.Exec(ctx, fmt.Sprintf(`set local idle_in_transaction_session_timeout = %d`, idleTimeout.Milliseconds()))
	return err
}
