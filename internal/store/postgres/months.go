package postgres

import (
	"context"
	"fmt"
	"time"
)

// month is the partition in which messages of a time are stored: 202611 for
// November 2026, in UTC.
func month(at time.Time) int64 {
	at = at.UTC()
	return int64(at.Year()*100 + int(at.Month()))
}

// monthOf is SQL for the month in which the message seq of a conversation lies.
// It is a value, so that PostgreSQL looks into that partition alone.
func monthOf(conversation, seq string) string {
	return `(SELECT month FROM spans WHERE conversation = ` + conversation + ` AND first_seq <= ` + seq + ` ORDER BY first_seq DESC LIMIT 1)`
}

// monthsLock is the key of the advisory lock of those who make partitions.
const monthsLock = 0x68696b79616b7502

// checkMonths is how often the next partition is looked after.
const checkMonths = time.Hour

// keepMonths makes partitions before they are needed.
func (s *Store) keepMonths(ctx context.Context) {
	tick := time.NewTicker(checkMonths)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := s.makeMonths(ctx); err != nil && ctx.Err() == nil {
				s.log.Error("the next month's partition could not be made; trying again", "after", checkMonths, "error", err)
			}
		}
	}
}

// makeMonths makes the partitions of this month and the next.
func (s *Store) makeMonths(ctx context.Context) error {
	now := s.now().UTC()
	next := time.Date(now.Year(), now.Month()+1, 1, 0, 0, 0, 0, time.UTC)
	if err := s.makeMonth(ctx, month(now)); err != nil {
		return err
	}
	return s.makeMonth(ctx, month(next))
}

func (s *Store) makeMonth(ctx context.Context, m int64) error {
	if m <= s.months.Load() {
		return nil
	}
	_, err := change(ctx, s, "make a partition", func(t *tx) (struct{}, error) {
		name := fmt.Sprintf("messages_%d_%02d", m/100, m%100)
		var exists bool
		// Not to_regclass: inside one transaction it may remember that there
		// was none.
		const there = `SELECT EXISTS (SELECT FROM pg_class WHERE relname = $1 AND relnamespace = current_schema()::regnamespace)`
		if _, err := t.one([]any{&exists}, there, name); err != nil || exists {
			return struct{}{}, err
		}
		if _, err := t.exec(`SELECT pg_advisory_xact_lock($1)`, int64(monthsLock)); err != nil {
			return struct{}{}, err
		}
		if _, err := t.one([]any{&exists}, there, name); err != nil || exists {
			return struct{}{}, err
		}
		// Made first and attached then: readers and writers of the other
		// partitions need not wait.
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
		known := s.months.Load()
		if m <= known || s.months.CompareAndSwap(known, m) {
			return nil
		}
	}
}
