-- The log, in the very form that the `eventsourcing` library's PostgreSQL recorders make and use, so that any of its
-- tools can read and append to it (tests/adapters/test_event_store.py holds the two against each other).

CREATE TYPE stored_event_uuid AS (
    originator_id      uuid,
    originator_version bigint,
    topic              text,
    state              bytea
);

CREATE TABLE stored_events (
    originator_id      uuid NOT NULL,
    originator_version bigint NOT NULL,
    topic              text,
    state              bytea,
    notification_id    bigserial,           -- the position in the log; has gaps
    PRIMARY KEY (originator_id, originator_version)
) WITH (
    autovacuum_vacuum_threshold = 100000000, -- rows are never updated or deleted
    autovacuum_vacuum_scale_factor = 0.5,
    autovacuum_analyze_threshold = 1000,
    autovacuum_analyze_scale_factor = 0.01
);
CREATE UNIQUE INDEX stored_events_notification_id_idx ON stored_events (notification_id);

CREATE TABLE stored_snapshots (
    originator_id      uuid NOT NULL,
    originator_version bigint NOT NULL,
    topic              text,
    state              bytea,
    PRIMARY KEY (originator_id, originator_version)
);
