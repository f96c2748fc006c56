package store

import (
	"context"
	"sync"
)

// Epochs tells that history may have gone back. As long as the epoch is the
// same, what a device was told is still so: positions mean what they meant, and
// Seq and Rev of a conversation have only grown. A restored backup or a failover
// that lost changes breaks that. Then another epoch begins, every position of the
// one before is refused, and devices look at everything anew.
type Epochs interface {
	// Epoch returns the current epoch, which is opaque and at most 64 bytes, and
	// a channel that is closed when the store knows of a later one. That is at
	// most some seconds after it began, whichever process began it, while the
	// database answers. It does not block.
	Epoch() (epoch string, changed <-chan struct{})
	// NewEpoch begins another epoch and returns it. Operators call it when the
	// store cannot see by itself that history went back.
	NewEpoch(ctx context.Context) (string, error)
}

// CurrentEpoch is the epoch as a backend has read it last. The zero value is no
// epoch yet. It is safe for concurrent use.
type CurrentEpoch struct {
	mu      sync.Mutex
	epoch   string
	changed chan struct{}
}

// Epoch returns the epoch and a channel that the next Set to another one closes.
func (c *CurrentEpoch) Epoch() (epoch string, changed <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.changed == nil {
		c.changed = make(chan struct{})
	}
	return c.epoch, c.changed
}

// Set sets the epoch.
func (c *CurrentEpoch) Set(epoch string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.epoch == epoch {
		return
	}
	c.epoch = epoch
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
}
