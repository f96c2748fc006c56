-- +goose Up

-- One row. The ceiling is above every change number ever handed out; numbers
-- are taken in blocks, so that a change costs no write here (writer.go).
CREATE TABLE installation (
    id             INTEGER PRIMARY KEY CHECK (id = 1),
    secret         BLOB    NOT NULL,
    change_ceiling INTEGER NOT NULL,
    pings          INTEGER NOT NULL
);

-- name_fold and display_fold are the names as search compares them (package textfold).
CREATE TABLE users (
    id           INTEGER PRIMARY KEY,
    name         TEXT    NOT NULL UNIQUE,
    skeleton     TEXT    NOT NULL UNIQUE,
    display_name TEXT    NOT NULL,
    name_fold    TEXT    NOT NULL,
    display_fold TEXT    NOT NULL,
    password     TEXT    NOT NULL,
    admin        INTEGER NOT NULL,
    disabled     INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    last_seen    INTEGER NOT NULL
);

CREATE TABLE sessions (
    id         INTEGER PRIMARY KEY,
    user       INTEGER NOT NULL REFERENCES users (id),
    token      BLOB    NOT NULL UNIQUE,
    device     TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    seen_at    INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
);

CREATE INDEX sessions_by_user ON sessions (user);

CREATE TABLE invitations (
    id         INTEGER PRIMARY KEY,
    token      BLOB    NOT NULL UNIQUE,
    created_by INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    max_uses   INTEGER NOT NULL,
    uses       INTEGER NOT NULL
);

-- slot is a short number for the conversation inside this file. low and high
-- are the pair of a direct conversation, NULL for others.
CREATE TABLE conversations (
    slot        INTEGER PRIMARY KEY,
    id          INTEGER NOT NULL UNIQUE,
    kind        TEXT    NOT NULL,
    title       TEXT    NOT NULL,
    topic       TEXT    NOT NULL,
    title_fold  TEXT    NOT NULL,
    topic_fold  TEXT    NOT NULL,
    low         INTEGER,
    high        INTEGER,
    seq         INTEGER NOT NULL,
    rev         INTEGER NOT NULL,
    members_rev INTEGER NOT NULL,
    members     INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    active_at   INTEGER NOT NULL,
    change      INTEGER NOT NULL
);

CREATE UNIQUE INDEX conversations_by_pair ON conversations (low, high) WHERE low IS NOT NULL;
CREATE INDEX conversations_channels ON conversations (title, id) WHERE kind = 'channel';

-- Clustered by person, because that is how devices ask: all of mine. Who has
-- left keeps a row with an empty role, so that the devices of a person hear of
-- it however late they ask.
CREATE TABLE members (
    user      INTEGER NOT NULL REFERENCES users (id),
    slot      INTEGER NOT NULL REFERENCES conversations (slot),
    role      TEXT    NOT NULL,
    joined_at INTEGER NOT NULL,
    read      INTEGER NOT NULL,
    received  INTEGER NOT NULL,
    change    INTEGER NOT NULL,
    PRIMARY KEY (user, slot)
) WITHOUT ROWID;

CREATE INDEX members_by_conversation ON members (slot, user) WHERE role <> '';

CREATE TABLE links (
    id         INTEGER PRIMARY KEY,
    slot       INTEGER NOT NULL REFERENCES conversations (slot),
    token      BLOB    NOT NULL UNIQUE,
    created_by INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    max_uses   INTEGER NOT NULL,
    uses       INTEGER NOT NULL
);

CREATE INDEX links_by_conversation ON links (slot);

-- place is slot << 32 | seq: messages lie in the order of their conversation,
-- seq is unique in it, and the key costs one integer (place.go).
-- rev is the change that stored the message and grows with seq; changed_rev
-- that of its last edit or its deletion. Foreign keys are left out here: the
-- writer knows the conversation, and membership vouches for the sender.
CREATE TABLE messages (
    place       INTEGER PRIMARY KEY,
    id          INTEGER NOT NULL,
    sender      INTEGER NOT NULL,
    client_id   BLOB    NOT NULL,
    rev         INTEGER NOT NULL,
    reply_to    INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    edited_at   INTEGER,
    deleted_at  INTEGER,
    changed_rev INTEGER,
    body        TEXT    NOT NULL
);

-- The client id goes first: it begins with the time, so that new entries land
-- side by side and a batch dirties few pages.
CREATE UNIQUE INDEX messages_by_client_id ON messages (client_id, sender);

-- Only what was changed is here, so that an ordinary message costs nothing.
CREATE INDEX messages_changed ON messages (place >> 32, changed_rev) WHERE changed_rev IS NOT NULL;

-- +goose Down
DROP TABLE messages;
DROP TABLE links;
DROP TABLE members;
DROP TABLE conversations;
DROP TABLE invitations;
DROP TABLE sessions;
DROP TABLE users;
DROP TABLE installation;
