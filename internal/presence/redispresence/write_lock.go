package redispresence

import (
	"context"
	"fmt"
)

// lockWrite waits until no other call writes the devices of a user on a node, so
// that writes reach Redis in the order in which they are made. The holder writes
// the state as of then, not as of the start of the call. unlockWrites releases the
// lock.
func (p *Presence) lockWrite(ctx context.Context, at userNode) error {
	for {
		p.mu.Lock()
		other := p.writeLocks[at]
		if other == nil {
			p.writeLocks[at] = make(chan struct{})
			p.mu.Unlock()
			return nil
		}
		p.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return fmt.Errorf("wait for the write lock: %w", ctx.Err())
		}
	}
}

// unlockWrites releases write locks.
func (p *Presence) unlockWrites(locked ...userNode) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, at := range locked {
		close(p.writeLocks[at])
		delete(p.writeLocks, at)
	}
}
