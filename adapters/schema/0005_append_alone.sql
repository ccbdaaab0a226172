-- One round trip for a batch that was decided without the lock (docs/decisions/0019): locks the log, and appends if nobody
-- else has since the position the batch was decided at, and if the clock it was decided by is the store's, to a second.
--
-- Returns the log's new end, NULL when nothing was written, and the clock. The lock's number is APPEND_LOCK of
-- adapters/database.py; each statement of a volatile function sees what was committed before it began.
CREATE FUNCTION append_alone(
    after_position bigint, decided_at timestamptz,
    ids uuid[], versions bigint[], topics text[], states bytea[], chains bytea[],
    scopes uuid[], keys text[], fingerprints bytea[], answers bytea[],
    OUT log_end bigint, OUT store_time timestamptz
) LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(1560281089);
    SELECT COALESCE(max(notification_id), 0) INTO log_end FROM stored_events;
    store_time := clock_timestamp();
    IF log_end <> after_position OR store_time - decided_at NOT BETWEEN '-1 second' AND '1 second' THEN
        log_end := NULL;
        RETURN;
    END IF;
    IF cardinality(ids) > 0 THEN
        WITH appended AS (
            INSERT INTO stored_events (originator_id, originator_version, topic, state, chain)
            SELECT id, version, topic, state, chain
            FROM unnest(ids, versions, topics, states, chains)
                WITH ORDINALITY AS e(id, version, topic, state, chain, place) ORDER BY place
            RETURNING notification_id
        ) SELECT max(notification_id) INTO log_end FROM appended;
        NOTIFY stored_events;
    END IF;
    IF cardinality(scopes) > 0 THEN
        INSERT INTO outcomes (scope, key, fingerprint, answer)
        SELECT * FROM unnest(scopes, keys, fingerprints, answers);
    END IF;
END
$$;
