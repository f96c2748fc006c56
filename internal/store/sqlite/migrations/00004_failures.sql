-- +goose Up

-- What is left of the text that was sent, once it was edited or deleted.
ALTER TABLE messages ADD COLUMN text_check INTEGER;

-- Submissions that were refused finally (failures.go). digest says which text it
-- was. Where the client id is that of a message or an earlier failure, the code
-- is conflict, which no other refusal of a submission has.
CREATE TABLE failures (
    sender       INTEGER NOT NULL,
    client_id    BLOB    NOT NULL,
    digest       BLOB    NOT NULL,
    conversation INTEGER NOT NULL,
    code         TEXT    NOT NULL,
    field        TEXT    NOT NULL,
    text         TEXT    NOT NULL,
    at           INTEGER NOT NULL,
    change       INTEGER NOT NULL,
    PRIMARY KEY (sender, client_id, digest)
) WITHOUT ROWID;

CREATE INDEX failures_by_change ON failures (sender, change);
CREATE INDEX failures_by_age ON failures (at);

-- +goose Down
ALTER TABLE messages DROP COLUMN text_check;
DROP TABLE failures;
