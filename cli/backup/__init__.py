"""`stagedoor backup` and `restore`: around PostgreSQL's own pg_dump and pg_restore."""
