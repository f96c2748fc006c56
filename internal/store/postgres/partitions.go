package postgres

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// month returns the partition in which messages of a time are stored: 202611 for
// November 2026, in UTC.
func month(at time.Time) int64 {
	at = at.UTC()
	return int64(at.Year()*100 + int(at.Month()))
}

// monthSQL returns SQL for the month of the message seq of a conversation. It is a
// scalar, so that PostgreSQL reads only that partition.
func monthSQL(conversation, seq string) string {
	return `(SELECT month FROM spans WHERE conversation = ` + conversation + ` AND first_seq <= ` + seq + ` ORDER BY first_seq DESC LIMIT 1)`
}

// partitionLock is the key of the advisory lock for creating partitions.
const partitionLock = 0x68696b79616b7502

// partitionInterval is how often the next partition is checked.
const partitionInterval = time.Hour

// runPartitionMaintenance creates partitions before they are needed.
func (s *Store) runPartitionMaintenance(ctx context.Context) {
	tick := time.NewTicker(partitionInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := s.createPartitions(ctx); err != nil && ctx.Err() == nil {
				s.log.Error("the next month's partition could not be created; trying again", "after", partitionInterval, "error", err)
			}
		}
	}
}

// createPartitions creates the partitions of this month and the next.
func (s *Store) createPartitions(ctx context.Context) error {
	now := s.now().UTC()
	next := time.Date(now.Year(), now.Month()+1, 1, 0, 0, 0, 0, time.UTC)
	return s.createPartitionsOf(ctx, []int64{month(now), month(next)})
}

// createPartitionsOf creates the partitions of months.
func (s *Store) createPartitionsOf(ctx context.Context, months []int64) error {
	for _, m := range months {
		if err := s.createPartition(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// createPartition creates the partition of a month unless it is known to exist.
// What is known may become wrong: an operator detaches a month, or a failover
// loses the partition. Append then finds out (isMissingPartition).
func (s *Store) createPartition(ctx context.Context, m int64) error {
	if s.partitions.has(m) {
		return nil
	}
	_, err := change(ctx, s, "create a partition", func(t *tx) (struct{}, error) {
		if exists, err := t.hasPartition(m); err != nil || exists {
			return struct{}{}, err
		}
		if _, err := t.exec(`SELECT pg_advisory_xact_lock($1)`, int64(partitionLock)); err != nil {
			return struct{}{}, err
		}
		if exists, err := t.hasPartition(m); err != nil || exists {
			return struct{}{}, err
		}
		name, err := t.freePartitionName(m)
		if err != nil {
			return struct{}{}, err
		}
		// The table is created first and then attached: readers and writers of
		// other partitions do not wait.
		if _, err := t.exec(fmt.Sprintf(`CREATE TABLE %s (LIKE messages INCLUDING ALL)`, name)); err != nil {
			return struct{}{}, err
		}
		_, err = t.exec(fmt.Sprintf(`ALTER TABLE messages ATTACH PARTITION %s FOR VALUES IN (%d)`, name, m))
		return struct{}{}, err
	})
	if err == nil {
		s.partitions.add(m)
	}
	return err
}

// hasPartition reports whether a month has its partition. It goes by what is
// attached, not by names: a table that was detached keeps its name.
func (t *tx) hasPartition(m int64) (exists bool, err error) {
	_, err = t.queryRow([]any{&exists}, `SELECT EXISTS (SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
		WHERE i.inhparent = 'messages'::regclass AND NOT i.inhdetachpending AND pg_get_expr(c.relpartbound, c.oid) = $1)`, fmt.Sprintf("FOR VALUES IN (%d)", m))
	return exists, err
}

// freePartitionName returns a name for the partition of a month: the plain one,
// or one with a number when a detached table has that still.
func (t *tx) freePartitionName(m int64) (string, error) {
	plain := fmt.Sprintf("messages_%d_%02d", m/100, m%100)
	name := plain
	for n := 2; ; n++ {
		var taken bool
		// Not to_regclass: within one transaction it may return the earlier
		// result.
		if _, err := t.queryRow([]any{&taken}, `SELECT EXISTS (SELECT FROM pg_class WHERE relname = $1 AND relnamespace = current_schema()::regnamespace)`, name); err != nil || !taken {
			return name, err
		}
		name = fmt.Sprintf("%s_%d", plain, n)
	}
}

// knownPartitions are the months whose partition was seen. Not merely the last
// one: a clock that is set back asks for an earlier month, which may have none.
// It is safe for concurrent use.
type knownPartitions struct {
	mu     sync.RWMutex
	months map[int64]struct{}
}

func (k *knownPartitions) has(m int64) bool {
	k.mu.RLock()
	defer k.mu.RUnlock()
	_, ok := k.months[m]
	return ok
}

func (k *knownPartitions) add(m int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.months == nil {
		k.months = map[int64]struct{}{}
	}
	k.months[m] = struct{}{}
}

// forget makes the partitions of all months unknown.
func (k *knownPartitions) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.months = nil
}
