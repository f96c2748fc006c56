-- +goose Up

-- Accounts that are made and removed together. stage is that of the removal
-- (removal.go), 0 while the batch is in use; reached is the last account that
-- the stage is through with.
CREATE TABLE batches (
    id         bigint      PRIMARY KEY,
    name       text        NOT NULL COLLATE "C" UNIQUE,
    created_at timestamptz NOT NULL,
    stage      integer     NOT NULL DEFAULT 0,
    reached    bigint      NOT NULL DEFAULT 0
);

ALTER TABLE users ADD COLUMN batch bigint REFERENCES batches (id);
CREATE INDEX users_by_batch ON users (batch, id) WHERE batch IS NOT NULL;

-- Conversations in the removal of a batch, with the seq up to which their
-- messages were removed, or where they stay, looked through for authors.
CREATE TABLE batch_conversations (
    batch        bigint  NOT NULL REFERENCES batches (id),
    conversation bigint  NOT NULL,
    stays        boolean NOT NULL,
    seq          bigint  NOT NULL DEFAULT 0,
    PRIMARY KEY (batch, conversation)
);

-- With those who have left: who removes a conversation must find all its rows.
DROP INDEX members_by_conversation;
CREATE INDEX members_by_conversation ON members (conversation, account) INCLUDE (role);

-- +goose Down
DROP INDEX members_by_conversation;
CREATE INDEX members_by_conversation ON members (conversation, account) WHERE role <> '';
DROP TABLE batch_conversations;
ALTER TABLE users DROP COLUMN batch;
DROP TABLE batches;
