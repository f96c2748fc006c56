-- +goose Up

-- What is left of the text that was sent, once it was edited or deleted.
ALTER TABLE messages ADD COLUMN text_check integer;

-- Submissions that were refused finally (failures.go). digest says which text it
-- was. A failure takes its client id in table sends, with seq 0; where that was
-- taken already, the code is conflict, which no other refusal of a submission
-- has.
CREATE TABLE failures (
    sender       bigint      NOT NULL,
    client_id    uuid        NOT NULL,
    digest       bytea       NOT NULL,
    conversation bigint      NOT NULL,
    code         text        NOT NULL,
    field        text        NOT NULL,
    text         text        NOT NULL,
    at           timestamptz NOT NULL,
    change       xid8        NOT NULL,
    PRIMARY KEY (sender, client_id, digest)
);

CREATE INDEX failures_by_change ON failures (sender, change);
CREATE INDEX failures_by_age ON failures (at);

-- +goose Down
ALTER TABLE messages DROP COLUMN text_check;
DELETE FROM sends WHERE seq = 0;
DROP TABLE failures;
