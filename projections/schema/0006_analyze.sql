-- As for the log (adapters/schema/0006_analyze.sql). An order is three changes until it is paid, a listing as many as it has
-- orders; and the first time is when a table is as large as nothing, so a catalogue is known soon after its import as ever.
ALTER TABLE buyer_orders SET (autovacuum_analyze_scale_factor = 1);
ALTER TABLE ledger SET (autovacuum_analyze_scale_factor = 0.5);
ALTER TABLE ticket_listing SET (autovacuum_analyze_scale_factor = 0.5);
