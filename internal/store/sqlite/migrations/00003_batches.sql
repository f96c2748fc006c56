-- +goose Up

-- Accounts that are made and removed together. stage is that of the removal
-- (removal.go), 0 while the batch is in use; reached is the last account that
-- the stage is through with.
CREATE TABLE batches (
    id         INTEGER PRIMARY KEY,
    name       TEXT    NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    stage      INTEGER NOT NULL,
    reached    INTEGER NOT NULL
);

ALTER TABLE users ADD COLUMN batch INTEGER REFERENCES batches (id);
CREATE INDEX users_by_batch ON users (batch, id) WHERE batch IS NOT NULL;

-- Conversations in the removal of a batch, with the seq up to which their
-- messages were removed, or where they stay, looked through for authors.
CREATE TABLE batch_conversations (
    batch INTEGER NOT NULL REFERENCES batches (id),
    slot  INTEGER NOT NULL,
    stays INTEGER NOT NULL,
    seq   INTEGER NOT NULL,
    PRIMARY KEY (batch, slot)
) WITHOUT ROWID;

-- With those who have left: who removes a conversation must find all its rows.
DROP INDEX members_by_conversation;
CREATE INDEX members_by_conversation ON members (slot, user, role);

-- +goose Down
DROP INDEX members_by_conversation;
CREATE INDEX members_by_conversation ON members (slot, user) WHERE role <> '';
DROP TABLE batch_conversations;
DROP INDEX users_by_batch;
ALTER TABLE users DROP COLUMN batch;
DROP TABLE batches;
