package distributed

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/hikyaku-chat/hikyaku/internal/bench/load"
	"github.com/hikyaku-chat/hikyaku/internal/bench/target"
)

// Serve is a hand: it carries out orders until there are no more. open makes the
// target from what the leader was given to reach it by.
func Serve(ctx context.Context, leader io.ReadWriteCloser, open func([]byte) (target.Target, error)) error {
	h := &agent{conn: newConn(leader), openTarget: open}
	defer func() {
		if h.users != nil {
			h.users.Close()
		}
	}()
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	orders := make(chan command)
	// Read beside the work: when the leader goes, what is under way ends.
	go func() {
		for {
			var o command
			if err := h.conn.dec.Decode(&o); err != nil {
				end(err)
				return
			}
			select {
			case orders <- o:
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		var o command
		select {
		case o = <-orders:
		case <-ctx.Done():
			if err := context.Cause(ctx); !errors.Is(err, io.EOF) {
				return fmt.Errorf("read the leader's order: %w", err)
			}
			return nil
		}
		a, err := h.execute(ctx, o)
		a.Done = true
		if err != nil {
			a.Err = err.Error()
		}
		if h.users != nil {
			a.Ended, a.Version = h.users.Ended(), h.users.Version()
		}
		if err := h.conn.enc.Encode(a); err != nil {
			return fmt.Errorf("answer the leader: %w", err)
		}
	}
}

type agent struct {
	conn       *conn
	openTarget func([]byte) (target.Target, error)
	users      *load.VirtualUsers
}

func (h *agent) execute(ctx context.Context, o command) (a response, err error) {
	if o.Prepare != nil {
		t, err := h.openTarget(o.Prepare.Target)
		if err != nil {
			return a, err
		}
		h.users, err = load.Prepare(ctx, t, o.Prepare.Plan, o.Prepare.Options)
		return a, err
	}
	if h.users == nil {
		return a, errors.New("the leader gave an order before there was anybody to carry it out")
	}
	switch {
	case o.Connect != nil:
		o.Connect.OnTick = h.sendSecond
		a.Connected, err = h.users.Connect(ctx, *o.Connect)
	case o.RunPhase != nil:
		o.RunPhase.OnTick = h.sendSecond
		a.Result, err = h.users.RunPhase(ctx, *o.RunPhase)
	case o.Check:
		a.Verdict, err = h.users.Check(ctx)
	}
	return a, err
}

// sendSecond passes a second on, from the goroutine that watches; the order's answer
// comes after the last one. A leader that is gone is noticed by the next read.
func (h *agent) sendSecond(s load.Second) {
	_ = h.conn.enc.Encode(response{Second: &s})
}
