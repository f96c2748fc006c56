-- +goose Up

-- The keys by which push services know the installation; NULL until somebody
-- asks for them.
ALTER TABLE installation ADD COLUMN push_public text, ADD COLUMN push_private text;

-- Where devices take notifications. A subscription ends with its session.
CREATE TABLE subscriptions (
    endpoint   text        NOT NULL COLLATE "C" PRIMARY KEY,
    account    bigint      NOT NULL REFERENCES users (id),
    session    bigint      NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    p256dh     text        NOT NULL,
    auth       text        NOT NULL,
    created_at timestamptz NOT NULL
);

CREATE INDEX subscriptions_by_account ON subscriptions (account, created_at);
CREATE INDEX subscriptions_by_session ON subscriptions (session);

-- +goose Down
DROP TABLE subscriptions;
ALTER TABLE installation DROP COLUMN push_public, DROP COLUMN push_private;
