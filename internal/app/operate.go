package app

import (
	"context"
	"log/slog"

	"github.com/hikyaku-chat/hikyaku/internal/broker/rabbitmq"
	"github.com/hikyaku-chat/hikyaku/internal/store/postgres"
)

// Migrate brings a database to the schema of this program. Several may start
// at once.
func Migrate(ctx context.Context, database string, log *slog.Logger) error {
	return postgres.Migrate(ctx, database, log)
}

// ForgetBroker lets the installation of a database move to another broker.
func ForgetBroker(ctx context.Context, database string) error {
	return postgres.ForgetBroker(ctx, database)
}

// Graveyard holds the dead letters of an installation.
type Graveyard = rabbitmq.DeadLetterStore

// DeadLetter is a message that was accepted and could not be stored.
type DeadLetter = rabbitmq.DeadLetter

// OpenGraveyard connects to the broker that holds the dead letters.
func OpenGraveyard(ctx context.Context, brokers []string, partitions int) (*Graveyard, error) {
	cfg := rabbitmq.Config{}.WithDefaults()
	cfg.URLs, cfg.Partitions = brokers, partitions
	if err := cfg.Validate(); err != nil {
		return nil, flagged(err)
	}
	return rabbitmq.OpenDeadLetterStore(ctx, brokers, partitions)
}
