package sqlite

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"time"
)

// A database file that was put back from a copy looks like one that was never
// gone: whatever could be remembered beside it may have been put back with it. So
// an epoch begins only when an operator says so.

// epochInterval is how often the store looks whether another process, an
// operator's command, has begun an epoch.
const epochInterval = time.Second

// Epoch returns the epoch; see the contract.
func (s *Store) Epoch() (epoch string, changed <-chan struct{}) { return s.epoch.Epoch() }

// NewEpoch begins an epoch; see the contract.
func (s *Store) NewEpoch(ctx context.Context) (string, error) {
	epoch := randomEpoch()
	_, err := change(ctx, s, "begin an epoch", func(t *tx) (struct{}, error) {
		_, err := t.exec(`UPDATE installation SET epoch = ?`, epoch)
		return struct{}{}, err
	})
	if err != nil {
		return "", err
	}
	return epoch, s.readEpoch(ctx)
}

func randomEpoch() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// readEpoch takes over the epoch of the database.
func (s *Store) readEpoch(ctx context.Context) error {
	s.epochMu.Lock() // a slow read must not undo a later one
	defer s.epochMu.Unlock()
	epoch, err := read(ctx, s, "read the epoch", func(c *conn) (epoch string, err error) {
		_, err = c.queryRow(`SELECT epoch FROM installation`, func(r row) { epoch = r.text(0) })
		return epoch, err
	})
	if err == nil {
		s.epoch.Set(epoch)
	}
	return err
}

// runEpochChecks reads the epoch now and then until ctx ends.
func (s *Store) runEpochChecks(ctx context.Context) {
	tick := time.NewTicker(epochInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		// An error is everybody's who uses the database now; whoever does says so.
		_ = s.readEpoch(ctx)
	}
}
