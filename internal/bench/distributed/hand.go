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
	h := &hand{wire: newWire(leader), open: open}
	defer func() {
		if h.crowd != nil {
			h.crowd.Close()
		}
	}()
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	orders := make(chan order)
	// Read beside the work: when the leader goes, what is under way ends.
	go func() {
		for {
			var o order
			if err := h.wire.dec.Decode(&o); err != nil {
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
		var o order
		select {
		case o = <-orders:
		case <-ctx.Done():
			if err := context.Cause(ctx); !errors.Is(err, io.EOF) {
				return fmt.Errorf("read the leader's order: %w", err)
			}
			return nil
		}
		a, err := h.do(ctx, o)
		a.Done = true
		if err != nil {
			a.Err = err.Error()
		}
		if h.crowd != nil {
			a.Ended, a.Version = h.crowd.Ended(), h.crowd.Version()
		}
		if err := h.wire.enc.Encode(a); err != nil {
			return fmt.Errorf("answer the leader: %w", err)
		}
	}
}

type hand struct {
	wire  *wire
	open  func([]byte) (target.Target, error)
	crowd *load.VirtualUsers
}

func (h *hand) do(ctx context.Context, o order) (a answer, err error) {
	if o.Gather != nil {
		t, err := h.open(o.Gather.Target)
		if err != nil {
			return a, err
		}
		h.crowd, err = load.Gather(ctx, t, o.Gather.Plan, o.Gather.Options)
		return a, err
	}
	if h.crowd == nil {
		return a, errors.New("the leader gave an order before there was anybody to carry it out")
	}
	switch {
	case o.Connect != nil:
		o.Connect.OnTick = h.tell
		a.Opened, err = h.crowd.Connect(ctx, *o.Connect)
	case o.Talk != nil:
		o.Talk.OnTick = h.tell
		a.Result, err = h.crowd.Talk(ctx, *o.Talk)
	case o.Check:
		a.Verdict, err = h.crowd.Check(ctx)
	}
	return a, err
}

// tell passes a second on, from the goroutine that watches; the order's answer
// comes after the last one. A leader that is gone is noticed by the next read.
func (h *hand) tell(s load.Second) {
	_ = h.wire.enc.Encode(answer{Second: &s})
}
