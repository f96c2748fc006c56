package sqlite

import (
	"context"

	"github.com/hikyaku-chat/hikyaku/internal/store/storetx"
)

var _ storetx.Tx = (*tx)(nil)

// update runs a command in the writer.
func (s *Store) update(ctx context.Context, what string, f func(storetx.Tx) error) error {
	_, err := change(ctx, s, what, func(t *tx) (struct{}, error) { return struct{}{}, f(t) })
	return err
}

// execAffected runs a statement and reports whether it affected a row. If it did
// not, nothing has changed, and the command may still refuse.
func (t *tx) execAffected(query string, args ...any) (bool, error) {
	wrote := t.wrote
	n, err := t.exec(query, args...)
	if err == nil && n == 0 {
		t.wrote = wrote
	}
	return n > 0, err
}
