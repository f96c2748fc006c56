-- +goose Up

-- The change that last moved one of a member's marks, which the devices of the
-- others show; 0 when none has moved since the member joined. Of a small
-- conversation, that of all its members.
ALTER TABLE members ADD COLUMN marked INTEGER NOT NULL DEFAULT 0;
ALTER TABLE conversations ADD COLUMN marked INTEGER NOT NULL DEFAULT 0;

-- The marks are in the index, so that those of all members lie side by side.
DROP INDEX members_by_conversation;
CREATE INDEX members_by_conversation ON members (slot, user, role, marked, read);

-- +goose Down
DROP INDEX members_by_conversation;
CREATE INDEX members_by_conversation ON members (slot, user, role);
ALTER TABLE conversations DROP COLUMN marked;
ALTER TABLE members DROP COLUMN marked;
