-- +goose Up

-- One row: what all processes of the installation must agree on.
CREATE TABLE installation (
    only_row   boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    id         uuid    NOT NULL DEFAULT gen_random_uuid(),
    secret     bytea   NOT NULL,
    partitions integer, -- of the broker
    broker_claimed boolean NOT NULL DEFAULT false
);
-- Two random UUIDs hold 244 random bits.
INSERT INTO installation (secret) VALUES (sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())));

-- Numbers under which processes make ids, see leases.go.
CREATE TABLE id_nodes (
    node    smallint    PRIMARY KEY,
    holder  uuid        NOT NULL,
    expires timestamptz NOT NULL,
    ceiling timestamptz NOT NULL
);

-- name_fold and display_fold are the names as search compares them.
CREATE TABLE users (
    id           bigint      PRIMARY KEY,
    name         text        NOT NULL COLLATE "C" UNIQUE,
    skeleton     text        NOT NULL COLLATE "C" UNIQUE,
    display_name text        NOT NULL,
    name_fold    text        NOT NULL,
    display_fold text        NOT NULL,
    password     text        NOT NULL,
    admin        boolean     NOT NULL,
    disabled     boolean     NOT NULL DEFAULT false,
    created_at   timestamptz NOT NULL,
    last_seen    timestamptz
) WITH (fillfactor = 90);

CREATE TABLE sessions (
    id         bigint      PRIMARY KEY,
    account    bigint      NOT NULL REFERENCES users (id),
    token      bytea       NOT NULL UNIQUE,
    device     text        NOT NULL,
    created_at timestamptz NOT NULL,
    seen_at    timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
) WITH (fillfactor = 90);

CREATE INDEX sessions_by_account ON sessions (account);

CREATE TABLE invitations (
    id         bigint      PRIMARY KEY,
    token      bytea       NOT NULL UNIQUE,
    created_by bigint      NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    max_uses   integer     NOT NULL,
    uses       integer     NOT NULL DEFAULT 0
);

-- low and high are the pair of a direct conversation, NULL for others. month is
-- that of the last message, 0 for none; change the transaction that changed the
-- row last. Rows are written over and over: a half-empty page keeps the new
-- version beside the old one, and no index changes.
CREATE TABLE conversations (
    id          bigint      PRIMARY KEY,
    kind        text        NOT NULL,
    title       text        NOT NULL COLLATE "C",
    topic       text        NOT NULL,
    title_fold  text        NOT NULL,
    topic_fold  text        NOT NULL,
    low         bigint,
    high        bigint,
    seq         bigint      NOT NULL DEFAULT 0,
    rev         bigint      NOT NULL DEFAULT 0,
    members_rev bigint      NOT NULL DEFAULT 0,
    members     integer     NOT NULL DEFAULT 0,
    created_at  timestamptz NOT NULL,
    active_at   timestamptz NOT NULL,
    month       integer     NOT NULL DEFAULT 0,
    change      xid8        NOT NULL
) WITH (fillfactor = 50);

CREATE UNIQUE INDEX conversations_by_pair ON conversations (low, high) WHERE low IS NOT NULL;
CREATE INDEX conversations_channels ON conversations (title, id) WHERE kind = 'channel';

-- Who has left keeps a row with an empty role, so that the devices of a person
-- hear of it however late they ask.
CREATE TABLE members (
    account      bigint      NOT NULL REFERENCES users (id),
    conversation bigint      NOT NULL REFERENCES conversations (id),
    role         text        NOT NULL,
    joined_at    timestamptz NOT NULL,
    read         bigint      NOT NULL,
    received     bigint      NOT NULL,
    change       xid8        NOT NULL,
    PRIMARY KEY (account, conversation)
) WITH (fillfactor = 70);

CREATE INDEX members_by_conversation ON members (conversation, account) WHERE role <> '';

CREATE TABLE links (
    id           bigint      PRIMARY KEY,
    conversation bigint      NOT NULL REFERENCES conversations (id),
    token        bytea       NOT NULL UNIQUE,
    created_by   bigint      NOT NULL,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    max_uses     integer     NOT NULL,
    uses         integer     NOT NULL DEFAULT 0
);

CREATE INDEX links_by_conversation ON links (conversation);

-- rev is the change that stored the message and grows with seq; changed_rev
-- that of its last edit or its deletion. Foreign keys are left out: the writer
-- holds the conversation, and membership vouches for the sender.
CREATE TABLE messages (
    conversation bigint      NOT NULL,
    seq          bigint      NOT NULL,
    month        integer     NOT NULL,
    id           bigint      NOT NULL,
    sender       bigint      NOT NULL,
    client_id    uuid        NOT NULL,
    rev          bigint      NOT NULL,
    reply_to     bigint      NOT NULL,
    at           timestamptz NOT NULL,
    edited_at    timestamptz,
    deleted_at   timestamptz,
    changed_rev  bigint,
    body         text        NOT NULL,
    PRIMARY KEY (conversation, seq, month)
) PARTITION BY LIST (month);

-- From first_seq on, the conversation's messages lie in the month.
CREATE TABLE spans (
    conversation bigint  NOT NULL,
    first_seq    bigint  NOT NULL,
    month        integer NOT NULL,
    PRIMARY KEY (conversation, first_seq)
);

-- What was changed after it was stored, in the order of the changes.
CREATE TABLE amendments (
    conversation bigint  NOT NULL,
    seq          bigint  NOT NULL,
    month        integer NOT NULL,
    rev          bigint  NOT NULL,
    PRIMARY KEY (conversation, seq)
);

CREATE UNIQUE INDEX amendments_by_rev ON amendments (conversation, rev);

-- Names that messages were sent under. The name goes first: it begins with the
-- time, so that new entries land side by side.
CREATE TABLE sends (
    client_id    uuid    NOT NULL,
    sender       bigint  NOT NULL,
    conversation bigint  NOT NULL,
    seq          bigint  NOT NULL,
    month        integer NOT NULL,
    PRIMARY KEY (client_id, sender)
);

-- +goose Down
DROP TABLE sends, amendments, spans, messages, links, members, conversations, invitations, sessions, users, id_nodes, installation;
