package syncclient

import (
	"context"
	"errors"
	"time"

	"github.com/hikyaku-chat/hikyaku/internal/backoff"
	"github.com/hikyaku-chat/hikyaku/internal/client"
	"github.com/hikyaku-chat/hikyaku/internal/wire"
)

func (c *Client) run(ctx context.Context) {
	defer close(c.done)
	for ctx.Err() == nil {
		err := c.runConnection(ctx)
		if errors.Is(err, client.ErrGoodbye) {
			continue // the server gave the delay
		}
		c.mu.Lock()
		wait := c.retry.Next()
		c.mu.Unlock()
		var closed *client.CloseError
		if errors.As(err, &closed) && closed.Code == wire.CloseFlooded {
			wait += wire.FloodedPause
		}
		_ = backoff.Sleep(ctx, wait)
	}
}

// runConnection connects, serves one connection, and returns why it ended.
func (c *Client) runConnection(ctx context.Context) error {
	dialCtx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	// Frames wait until c.socket is set.
	ready := make(chan struct{})
	s, err := c.api.Dial(dialCtx, func(f client.Frame) {
		<-ready
		c.handleFrame(f)
	})
	if err != nil {
		close(ready)
		return err
	}
	c.mu.Lock()
	c.socket, c.cursor, c.inFlight = s, "", 0
	c.retry.Reset()
	c.sendSyncs(c.state.Connected(time.Now(), s.Hello.User.ID, s.Hello.Epoch))
	for _, box := range c.outboxes {
		for _, m := range box.messages {
			m.inFlight = false
		}
		box.resumeAt = time.Time{}
	}
	c.flushAll()
	c.mu.Unlock()
	close(ready)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			s.Close()
			c.disconnected()
			return ctx.Err()
		case <-s.Done():
			s.Close() // waits for what it has started
			c.disconnected()
			return s.Err()
		case <-tick.C:
			c.mu.Lock()
			c.flushAll()
			c.sendSyncs(c.state.Tick(time.Now()))
			c.mu.Unlock()
		}
	}
}

func (c *Client) disconnected() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.socket = nil
}
