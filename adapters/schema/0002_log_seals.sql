-- What makes a row of the log that was changed or removed show (docs/decisions/0013).

ALTER TABLE stored_events ADD COLUMN chain bytea; -- see adapters/event_chain.py; NULL: appended by another program

-- A closed stretch of the log: every position up to `last_position` is settled.
CREATE TABLE log_sections (
    number        bigint PRIMARY KEY,       -- 1, 2, 3 … without gaps
    last_position bigint NOT NULL,
    events        integer NOT NULL,
    hash          bytea NOT NULL,           -- SHA-256 over the hash of the section before it and this one's events
    closed_at     timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- What was stored before.
DO $$
DECLARE
    event record;
    aggregate uuid;
    previous bytea;
BEGIN
    FOR event IN SELECT * FROM stored_events ORDER BY originator_id, originator_version LOOP
        IF event.originator_id IS DISTINCT FROM aggregate THEN
            previous := decode(repeat('00', 32), 'hex');
        END IF;
        aggregate := event.originator_id;
        previous := sha256(previous || uuid_send(aggregate) || int8send(event.originator_version)
            || int4send(octet_length(event.topic)) || convert_to(event.topic, 'UTF8') || event.state);
        UPDATE stored_events SET chain = previous
            WHERE originator_id = aggregate AND originator_version = event.originator_version;
    END LOOP;
END
$$;
