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
	cfg := rabbitmq.Config{}.WithDefaults()
	cfg.URLs, cfg.Partitions = brokers, partitions
	if err := cfg.Validate(); err != nil {
		return nil, flagged(err)
	}
	return rabbitmq.OpenDeadLetterStore(ctx, brokers, partitions)
}
