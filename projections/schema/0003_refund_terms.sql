-- A seller's terms of refund. A listing from before there were any has these.
ALTER TABLE ticket_listing
    ADD COLUMN refund_until    timestamptz,                   -- NULL: only the seller refunds
    ADD COLUMN refund_fee      bigint NOT NULL DEFAULT 0,     -- of each ticket its buyer gives back, in minor units
    ADD COLUMN resell_returned boolean NOT NULL DEFAULT true; -- whether what was refunded is on sale again
