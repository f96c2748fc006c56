package app

import (
	"context"
	"slices"

	"github.com/hikyaku-chat/hikyaku/internal/store/postgres"
)

// warnOfSingleNodes says what of a cluster takes accepted messages with it when a
// single machine dies. Each is said by the processes that hand messages to it.
func (a *App) warnOfSingleNodes(ctx context.Context, st *postgres.Store) error {
	accepts := slices.Contains(a.cfg.Roles, RoleGateway) || slices.Contains(a.cfg.Roles, RoleAPI)
	if accepts && len(a.cfg.Brokers) == 1 {
		a.log.Warn("accepted messages wait on a single RabbitMQ node, unless the one address of --broker stands for several; run three and give their addresses")
	}
	if !slices.Contains(a.cfg.Roles, RoleWorker) {
		return nil
	}
	waits, err := st.SynchronousStandby(ctx)
	if err == nil && !waits {
		a.log.Warn("stored messages are on a single PostgreSQL server; give it a standby and set synchronous_standby_names")
	}
	return err
}
