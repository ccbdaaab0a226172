"""The rules of the marketplace: no HTTP, SQL, Kafka or Stripe; imports the standard library and `eventsourcing`."""
