"""What `api` and `streams` both need of the world outside: settings, PostgreSQL, Stripe, keys, codecs."""
