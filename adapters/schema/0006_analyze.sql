-- ANALYZE reads 30,000 rows, a fifth of a second, however large the table is. The library's setting is a hundredth of the
-- log, which on a busy day is every time that autovacuum looks. What is asked of these tables goes by their keys, so that
-- the planner has to know their size roughly and hardly anything else.
ALTER TABLE stored_events SET (autovacuum_analyze_scale_factor = 0.5);
ALTER TABLE outcomes SET (autovacuum_analyze_scale_factor = 0.5);
