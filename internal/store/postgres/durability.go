package postgres

import "context"

// SynchronousStandby reports whether a commit waits for a standby: then what was
// committed survives the loss of the server.
func (s *Store) SynchronousStandby(ctx context.Context) (bool, error) {
	return read(ctx, s, "read the settings of replication", func(ctx context.Context, q querier) (waits bool, err error) {
		// Not pg_stat_replication, which shows nothing to ordinary users.
		err = q.QueryRow(ctx, `SELECT current_setting('synchronous_standby_names') <> '' AND current_setting('synchronous_commit') NOT IN ('off', 'local')`).Scan(&waits)
		return waits, err
	})
}
