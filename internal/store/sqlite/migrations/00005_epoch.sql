-- +goose Up

-- The epoch of the positions of devices (epoch.go).
ALTER TABLE installation ADD COLUMN epoch TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE installation DROP COLUMN epoch;
