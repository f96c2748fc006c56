package postgres

import (
	"context"
	"fmt"
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
	if err := s.createPartition(ctx, month(now)); err != nil {
		return err
	}
	return s.createPartition(ctx, month(next))
}

func (s *Store) createPartition(ctx context.Context, m int64) error {
	if m <= s.lastPartition.Load() {
		return nil
	}
	_, err := change(ctx, s, "create a partition", func(t *tx) (struct{}, error) {
		name := fmt.Sprintf("messages_%d_%02d", m/100, m%100)
		var exists bool
		// Not to_regclass: within one transaction it may return the earlier
		// result.
		const partitionExists = `SELECT EXISTS (SELECT FROM pg_class WHERE relname = $1 AND relnamespace = current_schema()::regnamespace)`
		if _, err := t.queryRow([]any{&exists}, partitionExists, name); err != nil || exists {
			return struct{}{}, err
		}
		if _, err := t.exec(`SELECT pg_advisory_xact_lock($1)`, int64(partitionLock)); err != nil {
			return struct{}{}, err
		}
		if _, err := t.queryRow([]any{&exists}, partitionExists, name); err != nil || exists {
			return struct{}{}, err
		}
		// The table is created first and then attached: readers and writers of
		// other partitions do not wait.
		if _, err := t.exec(fmt.Sprintf(`CREATE TABLE %s (LIKE messages INCLUDING ALL)`, name)); err != nil {
			return struct{}{}, err
		}
		_, err := t.exec(fmt.Sprintf(`ALTER TABLE messages ATTACH PARTITION %s FOR VALUES IN (%d)`, name, m))
		return struct{}{}, err
	})
	if err != nil {
		return err
	}
	for {
		last := s.lastPartition.Load()
		if m <= last || s.lastPartition.CompareAndSwap(last, m) {
			return nil
		}
	}
}
