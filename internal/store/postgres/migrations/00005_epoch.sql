-- +goose Up

-- The epoch of the positions of devices, and the history that it belongs to; see
-- epoch.go. No history is known yet, so that the first process begins an epoch.
ALTER TABLE installation ADD COLUMN epoch text NOT NULL DEFAULT '', ADD COLUMN history text NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE installation DROP COLUMN epoch, DROP COLUMN history;
