-- The read models: what queries are answered from. Every row here can be made again from the log (projections/rebuild.py),
-- so nothing here is history, and a row is written by one statement from the events of its aggregate.
--
-- `version` is the version of the aggregate the row shows: an event at or below it was applied, whatever comes twice.

CREATE TABLE ticket_listing (
    id           uuid PRIMARY KEY,
    version      bigint NOT NULL,
    seller_id    uuid NOT NULL,
    title        text NOT NULL,
    event_name   text NOT NULL,
    starts_at    timestamptz NOT NULL,
    venue        text NOT NULL,
    promoter     text,
    category     text,
    amount       bigint NOT NULL,               -- of one unit, in minor units of the currency
    currency     text NOT NULL,                 -- ISO 4217
    quantity     integer NOT NULL,
    description  text,
    hold_seconds integer,
    available    integer NOT NULL,
    held         integer NOT NULL,
    sold         integer NOT NULL,
    withdrawn    boolean NOT NULL,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    title_key    text COLLATE "C" NOT NULL,     -- what titles are sorted by, the same on every server
    terms        text NOT NULL,                 -- what a search finds it by, one term a line (projections/search.py)
    -- Not parsed by the server: its parser reads `semi-final`, `AT&T` and host names in ways of its own.
    search       tsvector GENERATED ALWAYS AS (array_to_tsvector(string_to_array(terms, E'\n'))) STORED,
    on_sale      boolean GENERATED ALWAYS AS (available > 0 AND NOT withdrawn) STORED
) WITH (
    -- A hot listing is rewritten several times a second. No index has the counts in it, only `on_sale`, which changes
    -- when the listing sells out: so the new row goes beside the old one and no index is touched (a HOT update).
    fillfactor = 60,
    autovacuum_vacuum_scale_factor = 0.02
);
CREATE INDEX ticket_listing_search ON ticket_listing USING gin (search) WITH (fastupdate = off);
CREATE INDEX ticket_listing_seller ON ticket_listing (seller_id, created_at, id);
-- One index a sort order, so that a page costs the same among a hundred thousand listings as among a hundred, and one
-- more of those that can be bought now: the usual question, which would otherwise wade through what is sold out.
CREATE INDEX ticket_listing_created ON ticket_listing (created_at, id) WHERE NOT withdrawn;
CREATE INDEX ticket_listing_starts ON ticket_listing (starts_at, id) WHERE NOT withdrawn;
CREATE INDEX ticket_listing_price ON ticket_listing (amount, id) WHERE NOT withdrawn;
CREATE INDEX ticket_listing_title ON ticket_listing (title_key, id) WHERE NOT withdrawn;
CREATE INDEX ticket_listing_on_sale_created ON ticket_listing (created_at, id) WHERE on_sale;
CREATE INDEX ticket_listing_on_sale_starts ON ticket_listing (starts_at, id) WHERE on_sale;
CREATE INDEX ticket_listing_on_sale_price ON ticket_listing (amount, id) WHERE on_sale;
CREATE INDEX ticket_listing_on_sale_title ON ticket_listing (title_key, id) WHERE on_sale;

CREATE TABLE buyer_orders (
    id                 uuid PRIMARY KEY,
    version            bigint NOT NULL,
    buyer_id           uuid NOT NULL,
    status             text NOT NULL,
    items              json NOT NULL,           -- domain.order.Item, as it was ordered; read as a whole
    amount             bigint NOT NULL,
    currency           text NOT NULL,
    created_at         timestamptz NOT NULL,
    updated_at         timestamptz NOT NULL,
    expires_at         timestamptz NOT NULL,
    payment_intent_id  text,
    intent_open        boolean NOT NULL,        -- whether the intent may still take money, as far as Stripe told
    charge_id          text,
    due_charge_id      text,                    -- money that has to go back …
    due_amount         bigint,
    due_currency       text,
    refunded_charge_id text,                    -- … and the charge that did
    refund_id          text
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX buyer_orders_buyer ON buyer_orders (buyer_id, created_at, id);
-- Work that falls due (open holds past their deadline, refunds, intents to cancel) is a partial index on the order and no
-- table of its own: an order is one row to write, in the hot path as in a rebuild, and what is due cannot contradict
-- what the order says. The indexes hold only what is open, so they stay small however many orders there were.
CREATE INDEX buyer_orders_open ON buyer_orders (expires_at, id) WHERE status IN ('created', 'awaiting_payment');
CREATE INDEX buyer_orders_refund_due ON buyer_orders (updated_at, id)
    WHERE due_charge_id IS NOT NULL AND due_charge_id IS DISTINCT FROM refunded_charge_id;
CREATE INDEX buyer_orders_intent_open ON buyer_orders (updated_at, id)
    WHERE intent_open AND status IN ('cancelled', 'expired');

CREATE TABLE user_status (
    id         uuid PRIMARY KEY,
    version    bigint NOT NULL,
    admin      boolean NOT NULL,
    erased     boolean NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);

-- How far each read model has come in each partition, written in the transaction of the rows.
CREATE TABLE checkpoints (
    model      text NOT NULL,
    topic      text NOT NULL,
    partition  integer NOT NULL,
    position   bigint NOT NULL,                 -- in the store's log, of the last event applied; never runs backwards
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (model, topic, partition)
) WITH (fillfactor = 20);                       -- few rows, rewritten all the time

-- Events that could not be read or projected, and all that followed for the same aggregate: kept, not lost.
CREATE TABLE parked_events (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model        text NOT NULL,
    topic        text NOT NULL,
    partition    integer,                       -- NULL: met in the store's log, not on Kafka
    kafka_offset bigint,
    aggregate_id uuid,                          -- NULL: its key is no id of ours
    sequence     bigint,                        -- NULL: it cannot be read
    position     bigint,                        -- NULL: the relay did not send it
    raw          bytea NOT NULL,
    error        text NOT NULL,
    parked_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);
-- The same event parked once, however often it is delivered.
CREATE UNIQUE INDEX parked_events_ours ON parked_events (model, aggregate_id, position)
    WHERE aggregate_id IS NOT NULL AND position IS NOT NULL;
CREATE UNIQUE INDEX parked_events_foreign ON parked_events (model, topic, partition, kafka_offset)
    WHERE aggregate_id IS NULL OR position IS NULL;

-- One row: how far the log is published, and where that left each partition (streams/relay_state.py).
CREATE TABLE relay_state (
    only_row   boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    position   bigint NOT NULL,                 -- everything up to here is on Kafka
    partitions jsonb NOT NULL,                  -- {topic: [[end offset, position of the last event], …]}
    cluster    text,                            -- the Kafka cluster's id
    trouble    text,                            -- why nothing is published until somebody has looked; NULL: all is well
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 10);                       -- one row, rewritten all the time
INSERT INTO relay_state (position, partitions) VALUES (0, '{}');

-- When a refund or a cancellation that failed is tried again. Not history: without a row it is tried at once.
CREATE TABLE reaction_attempts (
    order_id    uuid NOT NULL,
    reaction    text NOT NULL,
    attempts    integer NOT NULL,
    next_try_at timestamptz NOT NULL,
    last_error  text NOT NULL,
    PRIMARY KEY (order_id, reaction)
);
