"""What sellers have to get and have got, read from the ledger (`projections/ledger.py`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from psycopg_pool import AsyncConnectionPool

_BALANCES = """
WITH held AS (
    SELECT order_id, currency, sum(amount) AS amount FROM ledger WHERE account = 'disputes'
    GROUP BY order_id, currency HAVING sum(amount) > 0
), disputed AS (
    SELECT party, currency, sum(part) AS amount FROM (
        SELECT party, currency, LEAST(held.amount,
            -sum(ledger.amount) FILTER (WHERE type NOT IN ('TransferCreated', 'TransferReversed'))) AS part
        FROM held JOIN ledger USING (order_id, currency) WHERE account = 'sellers' AND party = ANY(%(sellers)s)
        GROUP BY order_id, party, currency, held.amount
    ) AS parts GROUP BY party, currency
), booked AS (
    SELECT party, currency, -sum(amount) AS owed,
        COALESCE(sum(amount) FILTER (WHERE type IN ('TransferCreated', 'TransferReversed')), 0) AS paid_out
    FROM ledger WHERE account = 'sellers' AND party = ANY(%(sellers)s) GROUP BY party, currency
)
SELECT party, currency, owed::bigint, paid_out::bigint, COALESCE(disputed.amount, 0)::bigint
FROM booked LEFT JOIN disputed USING (party, currency) ORDER BY party, currency
"""


@dataclass(frozen=True, slots=True)
class Balance:
    """What a seller has of the house in one currency, in minor units."""

    currency: str
    owed: int
    """Of what was sold, not paid yet; less than 0: so much too much was paid, and comes back."""
    paid_out: int
    """Moved to the seller's account at Stripe, less what came back from it."""
    disputed: int
    """Of both, what buyers' banks hold until they have decided."""


class PayoutQueries:
    """Reads through a pool (`adapters.database.make_pool`). May raise `psycopg.OperationalError` (also as
    `psycopg_pool.PoolTimeout`)."""

    def __init__(self, pool: AsyncConnectionPool) -> None:
        self._pool = pool

    async def balances(self, sellers: Sequence[UUID]) -> dict[UUID, tuple[Balance, ...]]:
        """By seller, one a currency; who never sold anything is left out. It reads each line of theirs."""
        found: dict[UUID, tuple[Balance, ...]] = {}
        async with self._pool.connection() as connection:
            for seller_id, *balance in await (
                await connection.execute(_BALANCES, {"sellers": list(sellers)}, binary=True)
            ).fetchall():
                found[seller_id] = (*found.get(seller_id, ()), Balance(*balance))
        return found
