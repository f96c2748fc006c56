// Package distributed runs virtual users in several processes, for when one is
// not enough: a process has a limit of open files, and one process may not use
// all processors.
//
// The coordinator divides the plan. Each agent has its own share of users, with
// all of their conversations; it creates their accounts and audits all of their
// messages. The coordinator sends commands (prepare, connect, run a phase,
// check) that all agents execute at the same time. It adds up what they report
// each second and at the end: counts and distributions, never percentiles.
//
// Commands and responses are encoded with gob over the standard input and
// output of the agents. Agents exit when the coordinator does.
package distributed

import (
	"encoding/gob"
	"io"

	"github.com/hikyaku-chat/hikyaku/internal/bench/audit"
	"github.com/hikyaku-chat/hikyaku/internal/bench/load"
	"github.com/hikyaku-chat/hikyaku/internal/bench/target"
)

// command is a command to an agent: one of the fields is set.
type command struct {
	Prepare  *prepareCommand
	Connect  *load.ConnectOptions
	RunPhase *load.Phase
	Check    bool
}

type prepareCommand struct {
	Target  []byte // how to reach the system, in the form of the program that runs both sides
	Plan    target.Plan
	Options load.Options
}

// response is a message from an agent: any number with Second, then one with
// Done.
type response struct {
	Second *load.Second

	Done      bool
	Err       string
	Connected *load.ConnectResult
	Result    *load.Result
	Verdict   *audit.Verdict
	Ended     int64
	Version   string
}

// conn carries commands and responses.
type conn struct {
	io.Closer
	enc *gob.Encoder
	dec *gob.Decoder
}

func newConn(rw io.ReadWriteCloser) *conn {
	return &conn{Closer: rw, enc: gob.NewEncoder(rw), dec: gob.NewDecoder(rw)}
}
