package distributed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/hikyaku-chat/hikyaku/internal/bench/load"
	"github.com/hikyaku-chat/hikyaku/internal/bench/target"
)

// Serve runs an agent: it executes the coordinator's commands until the
// connection or ctx ends, and closes the connection. Close must end a Read that
// waits. openTarget creates the target from the agent's Target.
func Serve(ctx context.Context, coordinator io.ReadWriteCloser, openTarget func([]byte) (target.Target, error)) error {
	a := &agent{conn: newConn(coordinator), openTarget: openTarget}
	defer func() {
		if a.users != nil {
			a.users.Close()
		}
	}()
	ctx, cancel := context.WithCancelCause(ctx)
	commands := make(chan command)
	var reading sync.WaitGroup
	// Read concurrently: when the coordinator exits, the running command is
	// canceled.
	reading.Go(func() {
		if err := a.conn.readCommands(ctx, commands); err != nil {
			cancel(err)
		}
	})
	defer func() {
		cancel(nil)
		_ = a.conn.Close() // the coordinator learns of an error by the end itself
		reading.Wait()
	}()
	for {
		var cmd command
		select {
		case cmd = <-commands:
		case <-ctx.Done():
			if err := context.Cause(ctx); !errors.Is(err, io.EOF) {
				return fmt.Errorf("read the coordinator's command: %w", err)
			}
			return nil
		}
		res, err := a.execute(ctx, cmd)
		res.Done = true
		if err != nil {
			res.Err = err.Error()
		}
		if a.users != nil {
			res.Ended, res.Version = a.users.Ended(), a.users.Version()
		}
		if err := a.conn.enc.Encode(res); err != nil {
			return fmt.Errorf("respond to the coordinator: %w", err)
		}
	}
}

// readCommands passes on commands until ctx ends, or with the error that ends
// the connection.
func (c *conn) readCommands(ctx context.Context, commands chan<- command) error {
	for {
		var cmd command
		if err := c.dec.Decode(&cmd); err != nil {
			return err
		}
		select {
		case commands <- cmd:
		case <-ctx.Done():
			return nil
		}
	}
}

type agent struct {
	conn       *conn
	openTarget func([]byte) (target.Target, error)
	users      *load.VirtualUsers
}

func (a *agent) execute(ctx context.Context, cmd command) (res response, err error) {
	if cmd.Prepare != nil {
		t, err := a.openTarget(cmd.Prepare.Target)
		if err != nil {
			return res, err
		}
		a.users, err = load.Prepare(ctx, t, cmd.Prepare.Plan, cmd.Prepare.Options)
		return res, err
	}
	if a.users == nil {
		return res, errors.New("the coordinator sent a command before prepare")
	}
	switch {
	case cmd.Connect != nil:
		cmd.Connect.OnTick = a.sendSecond
		res.Connected, err = a.users.Connect(ctx, *cmd.Connect)
	case cmd.RunPhase != nil:
		cmd.RunPhase.OnTick = a.sendSecond
		res.Result, err = a.users.RunPhase(ctx, *cmd.RunPhase)
	case cmd.Check:
		res.Verdict, err = a.users.Check(ctx)
	}
	return res, err
}

// sendSecond reports a second. It is called by the goroutine that samples; the
// command's response follows the last one. The next read notices when the
// coordinator is gone.
func (a *agent) sendSecond(s load.Second) {
	_ = a.conn.enc.Encode(response{Second: &s})
}
