package app

import (
	"context"
	"log/slog"

	"github.com/hikyaku-chat/hikyaku/internal/broker/rabbitmq"
	"github.com/hikyaku-chat/hikyaku/internal/store/postgres"
)

// Migrate migrates a database to the schema of this program. Several processes may
// call it at the same time.
func Migrate(ctx context.Context, database string, log *slog.Logger) error {
	return postgres.Migrate(ctx, database, log)
}

// ForgetBroker removes the broker of an installation from its database, so that it
// can move to another broker.
func ForgetBroker(ctx context.Context, database string) error {
	return postgres.ForgetBroker(ctx, database)
}

// DeadLetterStore has the dead letters of an installation.
type DeadLetterStore = rabbitmq.DeadLetterStore

// DeadLetter is a message that was accepted and could not be stored.
type DeadLetter = rabbitmq.DeadLetter

// OpenDeadLetterStore connects to the broker that has the dead letters.
func OpenDeadLetterStore(ctx context.Context, brokers []string, partitions int) (*DeadLetterStore, error) {
	if err := validatePartitions(partitions); err != nil {
		return nil, err
	}
	return rabbitmq.OpenDeadLetterStore(ctx, brokers, partitions)
}
