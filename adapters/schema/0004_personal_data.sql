-- Personal data is sealed with a key for each person (docs/decisions/0015). Accounts that are there already are sealed
-- by `stagedoor migrate` afterwards (adapters/plain_accounts.py), since the house key is not in the database.

-- Which house key everything is sealed with: one row, from the first start on.
CREATE TABLE house_key (
    only_one    boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    check_value bytea NOT NULL              -- tells the right key from another one, and nothing about it
);

-- A person's key. Without it nothing of them can be read, so erasing an account is deleting this row.
CREATE TABLE personal_keys (
    user_id    uuid PRIMARY KEY,
    sealed_key bytea NOT NULL               -- under the house key
);

ALTER TABLE accounts RENAME COLUMN email TO plain_email;
ALTER TABLE accounts RENAME COLUMN name TO plain_name;
ALTER TABLE accounts
    ALTER COLUMN plain_email DROP NOT NULL,
    ALTER COLUMN plain_name DROP NOT NULL,
    ADD COLUMN email_hash bytea UNIQUE,     -- HMAC-SHA-256 of the normalised address: what an account is found by
    ADD COLUMN email bytea,                 -- sealed
    ADD COLUMN name bytea;                  -- sealed

-- Drops what is plain. The expression makes PostgreSQL write the table anew, from the rows as they are now, so that
-- earlier versions of them are not left in its file either.
CREATE PROCEDURE drop_plain_accounts() LANGUAGE sql AS $$
    ALTER TABLE accounts
        DROP COLUMN plain_email,
        DROP COLUMN plain_name,
        ALTER COLUMN email_hash SET NOT NULL,
        ALTER COLUMN name SET NOT NULL,
        ALTER COLUMN email TYPE bytea USING email || ''::bytea,
        ALTER COLUMN email SET NOT NULL;
$$;

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM accounts) THEN
        CALL drop_plain_accounts();
        DROP PROCEDURE drop_plain_accounts();
    END IF;
END
$$;
