-- What is stored beside the log, in the transaction of the events (domain/records.py). Nothing here is history.

CREATE TABLE accounts (
    user_id       uuid PRIMARY KEY,
    email         text NOT NULL UNIQUE,     -- normalised
    name          text NOT NULL,
    password_hash text NOT NULL,            -- Argon2id, encoded
    created_at    timestamptz NOT NULL DEFAULT now()
);

-- One row a sign-in: a family of refresh tokens, of which only the newest is good.
CREATE TABLE sessions (
    session_id   uuid PRIMARY KEY,
    user_id      uuid NOT NULL,
    refresh_hash bytea NOT NULL,            -- SHA-256 of the newest refresh token's secret
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL,
    ended_at     timestamptz                -- signed out, password changed, or an old token used again
);
CREATE INDEX sessions_user_idx ON sessions (user_id);
CREATE INDEX sessions_ended_idx ON sessions (ended_at) WHERE ended_at IS NOT NULL;

-- Answers given under an idempotency key, kept for a day.
CREATE TABLE outcomes (
    scope       uuid NOT NULL,              -- whose key it is
    key         text NOT NULL,
    fingerprint bytea NOT NULL,
    answer      bytea NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (scope, key)
);
CREATE INDEX outcomes_created_idx ON outcomes (created_at);

-- Tickets of interest, a person's own list.
CREATE TABLE collection (
    user_id   uuid NOT NULL,
    ticket_id uuid NOT NULL,
    added_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (user_id, ticket_id)
);

-- Key pairs that sign access tokens; a retired one still verifies until the last token it signed has expired.
CREATE TABLE signing_keys (
    kid         text PRIMARY KEY,
    private_pem text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    retired_at  timestamptz
);
