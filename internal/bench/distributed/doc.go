// Package distributed makes a crowd of several processes, where one is not enough: a
// process may have so many files open, and its work goes on so many processors.
//
// The leader divides the plan: each hand has people of its own, with all of
// their conversations, makes their accounts, and accounts for every message of
// theirs. The leader gives orders (connect, talk, check), all hands carry them
// out at the same time, and it adds up what they say each second and at the end:
// counts and distributions, never percentiles.
//
// Orders and answers are gobs over the standard input and output of the hands,
// which end when the leader does.
package distributed

import (
	"encoding/gob"
	"io"

	"github.com/hikyaku-chat/hikyaku/internal/bench/audit"
	"github.com/hikyaku-chat/hikyaku/internal/bench/load"
	"github.com/hikyaku-chat/hikyaku/internal/bench/target"
)

// command is what a hand is told to do: one of these.
type command struct {
	Prepare  *prepareCommand
	Connect  *load.ConnectOptions
	RunPhase *load.Phase
	Check    bool
}

type prepareCommand struct {
	Target  []byte // how to reach the system, as the program that both are has it
	Plan    target.Plan
	Options load.Options
}

// response is what a hand says: any number of seconds, and then one that is done.
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

// conn carries orders and answers.
type conn struct {
	io.Closer
	enc *gob.Encoder
	dec *gob.Decoder
}

func newConn(rw io.ReadWriteCloser) *conn {
	return &conn{Closer: rw, enc: gob.NewEncoder(rw), dec: gob.NewDecoder(rw)}
}
