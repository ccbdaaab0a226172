-- The ledger: what every event about money says, in double entry (projections/ledger.py, docs/ledger.md). Lines are only
-- ever added, in the transaction of the order's row in `buyer_orders`, and made again from the log with it.
--
-- Of a database with older orders it is empty until `stagedoor replay`.
CREATE TABLE ledger (
    order_id  uuid NOT NULL,
    sequence  bigint NOT NULL,                  -- with the order, the event
    line      smallint NOT NULL,                -- 1, 2, 3 … of the event
    position  bigint NOT NULL,                  -- of the event in the store's log
    at        timestamptz NOT NULL,             -- the event's time
    type      text NOT NULL,                    -- the event's published type
    account   text NOT NULL,
    party     uuid,                             -- the seller whose money it is, or whose sale
    ticket_id uuid,
    quantity  integer,                          -- units sold, or less than 0: returned
    amount    bigint NOT NULL,                  -- minor units; more than 0: debit, less: credit
    currency  text NOT NULL,                    -- ISO 4217; the lines of an event come to 0 in each
    reference text,                             -- Stripe's id of what moved
    number    integer,                          -- of the refund, transfer or reversal in the order
    PRIMARY KEY (order_id, sequence, line)
) WITH (autovacuum_vacuum_insert_scale_factor = 0.02);  -- never updated, so it is soon read from the indexes alone
CREATE INDEX ledger_position ON ledger (position, line);
-- Times follow the log, so that a summary of each few pages finds them; it costs a line next to nothing.
CREATE INDEX ledger_at ON ledger USING brin (at) WITH (pages_per_range = 32, autosummarize = on);
CREATE INDEX ledger_refund_failed ON ledger (order_id) WHERE type = 'RefundFailed';
CREATE INDEX ledger_party ON ledger (party, at) WHERE party IS NOT NULL;
