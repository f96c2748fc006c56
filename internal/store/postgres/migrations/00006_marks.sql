-- +goose Up

-- The transaction that last moved one of a member's marks, which the devices of
-- the others show; 0 when none has moved since the member joined.
ALTER TABLE members ADD COLUMN marked xid8 NOT NULL DEFAULT '0';

-- +goose Down
ALTER TABLE members DROP COLUMN marked;
