package redispresence

import "context"

// Tend does what is done every two seconds.
func (p *Presence) Tend(ctx context.Context) error { return p.tend(ctx) }

// Doubt makes the next Tend tell everything again.
func (p *Presence) Doubt() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unsure = true
}

// Remembered is how many people's devices, and calls under way, are kept.
func (p *Presence) Remembered() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.mine) + len(p.turns)
}
