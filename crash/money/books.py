"""Whether the money adds up: the ledger in itself, against the orders, and against the provider's balance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg

_CHECKS = {
    "an event whose lines do not come to 0": (
        "SELECT order_id, sequence, currency, sum(amount) FROM ledger GROUP BY 1, 2, 3 HAVING sum(amount) <> 0"
    ),
    "an order whose buyer still has money to get that a card would take, or got too much": (
        "SELECT l.order_id, l.currency, sum(l.amount) FROM ledger AS l WHERE account = 'buyers' GROUP BY 1, 2"
        " HAVING sum(l.amount) <> (SELECT -COALESCE(sum((r.money->>'amount')::bigint), 0) FROM buyer_orders AS o,"
        " json_to_recordset(o.refunds) AS r (money json, refund_id text) WHERE o.id = l.order_id"
        " AND r.refund_id IS NULL)"
    ),
    "an order with money left at a bank": (
        "SELECT order_id, sum(amount) FROM ledger WHERE account = 'disputes' GROUP BY 1 HAVING sum(amount) <> 0"
    ),
    "a seller who can be paid and was not, or has too much": (
        "SELECT l.order_id, l.party, sum(l.amount) FROM ledger AS l JOIN user_status AS u ON u.id = l.party"
        " WHERE l.account = 'sellers' AND u.transfers_enabled GROUP BY 1, 2 HAVING sum(l.amount) <> 0"
    ),
    "a seller who cannot be paid and owes": (
        "SELECT l.order_id, l.party, sum(l.amount) FROM ledger AS l JOIN user_status AS u ON u.id = l.party"
        " WHERE l.account = 'sellers' AND NOT u.transfers_enabled GROUP BY 1, 2 HAVING sum(l.amount) > 0"
    ),
    "an order that is open": ("SELECT id, status FROM buyer_orders WHERE status IN ('created', 'awaiting_payment')"),
    "a paid order without a line": (
        "SELECT id FROM buyer_orders AS o WHERE charge_id IS NOT NULL"
        " AND NOT EXISTS (SELECT FROM ledger AS l WHERE l.order_id = o.id)"
    ),
}
_BALANCE = (
    "SELECT currency, sum(amount)::bigint FROM ledger WHERE account = 'stripe' GROUP BY 1 HAVING sum(amount) <> 0"
)
_TRANSFERRED = (
    "SELECT COALESCE(sum(amount), 0)::bigint FROM ledger"
    " WHERE account = 'sellers' AND type IN ('TransferCreated', 'TransferReversed')"
)
_TO_BE_DONE = (
    "SELECT count(*) FROM buyer_orders AS o WHERE status IN ('created', 'awaiting_payment') OR moves_due > 0"
    " OR unsettled_charge_id IS NOT NULL OR (intent_open AND status IN ('cancelled', 'expired'))"
    " OR (payout_at IS NOT NULL AND EXISTS (SELECT FROM json_to_recordset(items) AS i (seller_id uuid)"
    " JOIN user_status AS u ON u.id = i.seller_id JOIN ledger AS l ON l.order_id = o.id AND l.party = u.id"
    " WHERE l.account = 'sellers' AND u.transfers_enabled GROUP BY u.id HAVING sum(l.amount) <> 0))"
)
_SUMMARY = (
    "SELECT type, count(DISTINCT (order_id, sequence)), sum(amount) FILTER (WHERE amount > 0) FROM ledger"
    " GROUP BY 1 ORDER BY 1"
)

SHOWN = 3


@dataclass(frozen=True, slots=True)
class Provider:
    """What the provider's books say."""

    balance: dict[str, int]
    transferred: int


def left_to_do(connection: psycopg.Connection[Any]) -> int:
    """Orders for which something is still to be done."""
    return int(_rows(connection, _TO_BE_DONE)[0][0])


def differences(connection: psycopg.Connection[Any], provider: Provider) -> Iterator[str]:
    """What does not add up, a line each."""
    for what, query in _CHECKS.items():
        if found := _rows(connection, query):
            yield f"{what}: {len(found)}, as {'; '.join(', '.join(map(str, row)) for row in found[:SHOWN])}"
    booked = {currency: int(amount) for currency, amount in _rows(connection, _BALANCE)}
    if booked != provider.balance:
        yield f"the ledger says that the provider has {booked}, the provider says {provider.balance}"
    transferred = int(_rows(connection, _TRANSFERRED)[0][0])
    if transferred != provider.transferred:
        yield f"the ledger says that sellers were sent {transferred}, the provider says {provider.transferred}"


def summary(connection: psycopg.Connection[Any]) -> str:
    """What moved."""
    return ", ".join(f"{count} {kind} ({amount or 0})" for kind, count, amount in _rows(connection, _SUMMARY))


def _rows(connection: psycopg.Connection[Any], query: str) -> list[tuple[Any, ...]]:
    return connection.execute(query.encode()).fetchall()
