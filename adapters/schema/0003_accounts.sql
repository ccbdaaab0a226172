-- Addresses that are shown to be their account's, links sent by mail, letters on their way (docs/decisions/0014).

ALTER TABLE accounts ADD COLUMN email_verified_at timestamptz; -- NULL: nobody has shown yet that it is theirs

-- What a link sent by mail is worth. One of a kind for an account: a newer one takes the place of the one before.
CREATE TABLE links (
    token_hash bytea PRIMARY KEY,           -- SHA-256 of the token, which is nowhere but in the letter
    user_id    uuid NOT NULL,
    purpose    text NOT NULL,               -- verify_email, password_reset
    expires_at timestamptz NOT NULL,
    UNIQUE (user_id, purpose)
);

-- Letters not yet sent. What is sent is deleted. Text and token are made when it is sent, so neither is ever here.
CREATE TABLE letters (
    letter_id  uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    kind       text NOT NULL,
    user_id    uuid,                        -- NULL: whoever has the address, if anybody
    recipient  bytea,                       -- normalised, sealed; NULL: the account's address
    due_at     timestamptz NOT NULL DEFAULT now(),
    tries      integer NOT NULL DEFAULT 0,
    last_error text                         -- what the last try ended with
);
CREATE INDEX letters_due_idx ON letters (due_at);
CREATE INDEX letters_user_idx ON letters (user_id);

ALTER TABLE signing_keys ADD COLUMN ended_at timestamptz; -- known to others: verifies nothing from then on
