-- What happens to an order's money after it was paid. What is to be done is asked of the order itself; here stands only
-- that there is something, and since when.
ALTER TABLE buyer_orders
    ADD COLUMN unsettled_charge_id text,                    -- a charge of which Stripe's fee is not known
    ADD COLUMN refunds json NOT NULL DEFAULT '[]',          -- domain.payouts.Refund; read as a whole
    ADD COLUMN moves_due integer NOT NULL DEFAULT 0,        -- refunds, transfers, reversals that Stripe has to make
    ADD COLUMN payout_at timestamptz;                       -- from when on its sellers may be paid
UPDATE buyer_orders SET moves_due = 1 WHERE due_charge_id IS NOT NULL AND due_charge_id IS DISTINCT FROM refunded_charge_id;
UPDATE buyer_orders SET unsettled_charge_id = charge_id WHERE charge_id IS NOT NULL;
ALTER TABLE buyer_orders
    ALTER COLUMN refunds DROP DEFAULT,
    ALTER COLUMN moves_due DROP DEFAULT,
    DROP COLUMN due_charge_id,
    DROP COLUMN due_amount,
    DROP COLUMN due_currency,
    DROP COLUMN refunded_charge_id,
    DROP COLUMN refund_id;
CREATE INDEX buyer_orders_moves_due ON buyer_orders (updated_at, id) WHERE moves_due > 0;
CREATE INDEX buyer_orders_intent_any ON buyer_orders (updated_at, id) WHERE intent_open;
CREATE INDEX buyer_orders_unsettled ON buyer_orders (updated_at, id) WHERE unsettled_charge_id IS NOT NULL;
CREATE INDEX buyer_orders_payout ON buyer_orders (payout_at, id) WHERE payout_at IS NOT NULL;

-- Whether a seller can be paid through Stripe.
ALTER TABLE user_status ADD COLUMN transfers_enabled boolean NOT NULL DEFAULT false;
ALTER TABLE user_status ALTER COLUMN transfers_enabled DROP DEFAULT;

-- What was tried in vain is put off for as long as the order stays as it is: when something happens to it, at once again.
ALTER TABLE reaction_attempts ADD COLUMN version bigint NOT NULL DEFAULT 0;
ALTER TABLE reaction_attempts ALTER COLUMN version DROP DEFAULT;
UPDATE reaction_attempts SET reaction = 'move_money' WHERE reaction = 'refund';
