"""Events: what happened, as Stripe's Event objects, kept in the transaction that made it happen."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any

from sandbox.objects import API_VERSION
from sandbox.schema import decode, encode
from sandbox.store import Store

EVENTS_KEPT = 100_000
"""Of those that are delivered, only so many of the newest (about 150 MB of disk); Stripe keeps them for 30 days."""
PRUNE_EVERY = 500
"""Events between two prunings, so that looking for old ones costs next to nothing for each."""

TYPES = frozenset(
    (
        "payment_intent.created",
        "payment_intent.succeeded",
        "payment_intent.payment_failed",
        "payment_intent.requires_action",
        "payment_intent.canceled",
        "charge.succeeded",
        "charge.failed",
        "charge.refunded",
        "charge.refund.updated",
        "charge.dispute.created",
        "charge.dispute.updated",
        "charge.dispute.funds_withdrawn",
        "charge.dispute.funds_reinstated",
        "charge.dispute.closed",
        "refund.created",
        "refund.updated",
        "refund.failed",
        "account.updated",
        "transfer.created",
        "transfer.reversed",
    )
)
"""Every type of event there is here."""


class Events:
    """Writes events, and a pending delivery for each that the webhook endpoint wants."""

    def __init__(self, store: Store, wanted: Collection[str]) -> None:
        """`wanted`: the types the webhook endpoint gets; empty when there is no endpoint."""
        self._store = store
        self._wanted = frozenset(wanted)

    def add(
        self,
        event_type: str,
        subject: dict[str, Any],
        *,
        now: int,
        request: str | None,
        idempotency_key: str | None,
        previous: dict[str, Any] | None = None,
        account: str | None = None,
    ) -> None:
        """Keeps an event about `subject` (a full object, as it is now).

        Args:
            previous: the old values of what changed.
            account: the connected account it happened to; None: the platform itself.
        """
        identifier = self._store.ids.new("evt")
        delivered = event_type in self._wanted
        event = {
            "id": identifier,
            "object": "event",
            "api_version": API_VERSION,
            "created": now,
            "data": {"object": subject} if previous is None else {"object": subject, "previous_attributes": previous},
            "livemode": False,
            "pending_webhooks": 1 if delivered else 0,
            "request": {"id": request, "idempotency_key": idempotency_key},
            "type": event_type,
        }
        if account is not None:
            event["account"] = account
        sequence = self._store.write(
            "INSERT INTO events (id, created, type, record) VALUES (?, ?, ?, ?)",
            (identifier, now, event_type, encode(event)),
        )
        if delivered:
            self._store.write("INSERT INTO deliveries VALUES (?, 0, ?)", (sequence, time.time()))
        self._store.count("events")
        if sequence % PRUNE_EVERY == 0:
            self._prune(sequence)

    def _prune(self, newest: int) -> None:
        # Those that have become old since the last time. One still to be delivered goes when it is (`delivered`):
        # to look at all that wait, each time, would cost more the longer the endpoint is away.
        old = newest - EVENTS_KEPT
        self._store.write(
            "DELETE FROM events WHERE sequence > ? AND sequence <= ? "
            "AND sequence NOT IN (SELECT sequence FROM deliveries)",
            (old - PRUNE_EVERY, old),
        )

    def delivered(self, sequence: int) -> None:
        """Takes an event from those to be delivered, and forgets it if it was kept for that alone."""
        self._store.write("DELETE FROM deliveries WHERE sequence = ?", (sequence,))
        self._store.write(
            "DELETE FROM events WHERE sequence = ? AND sequence <= (SELECT max(sequence) FROM events) - ?",
            (sequence, EVENTS_KEPT),
        )

    def get(self, identifier: str) -> dict[str, Any] | None:
        """One event with its `pending_webhooks` as they stand, or None."""
        rows = self._store.read(
            "SELECT record, EXISTS (SELECT 1 FROM deliveries WHERE deliveries.sequence = events.sequence) "
            "FROM events WHERE id = ?",
            (identifier,),
        )
        if not rows:
            return None
        event: dict[str, Any] = decode(rows[0][0])
        event["pending_webhooks"] = rows[0][1]
        return event
