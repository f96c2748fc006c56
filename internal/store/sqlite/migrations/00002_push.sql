-- +goose Up

-- The keys by which push services know the installation; NULL until somebody
-- asks for them.
ALTER TABLE installation ADD COLUMN push_public TEXT;
ALTER TABLE installation ADD COLUMN push_private TEXT;

-- Where devices take notifications. A subscription ends with its session.
CREATE TABLE subscriptions (
    endpoint   TEXT    PRIMARY KEY,
    user       INTEGER NOT NULL REFERENCES users (id),
    session    INTEGER NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    p256dh     TEXT    NOT NULL,
    auth       TEXT    NOT NULL,
    created_at INTEGER NOT NULL
);

CREATE INDEX subscriptions_by_user ON subscriptions (user, created_at);
CREATE INDEX subscriptions_by_session ON subscriptions (session);

-- +goose Down
DROP TABLE subscriptions;
ALTER TABLE installation DROP COLUMN push_private;
ALTER TABLE installation DROP COLUMN push_public;
