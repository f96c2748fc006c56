package redispresence

import "context"

// MaintainOnce does what is done at each heartbeat.
func (p *Presence) MaintainOnce(ctx context.Context) error { return p.maintainOnce(ctx) }

// MarkOutOfSync makes the next MaintainOnce register everything again.
func (p *Presence) MarkOutOfSync() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.outOfSync = true
}

// Entries returns how many users' devices, and writes in progress, are in memory.
func (p *Presence) Entries() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.devices) + len(p.writeLocks)
}
