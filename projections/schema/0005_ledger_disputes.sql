-- The few lines of disputes, found among all others: what a seller's balance is disputed for.
CREATE INDEX ledger_disputes ON ledger (order_id) WHERE account = 'disputes';
