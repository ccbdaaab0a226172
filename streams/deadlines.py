"""Ends orders whose deadline has passed. No buyer waits for it: a hold past its deadline blocks nobody.

Every worker does it; an order that another one ended meanwhile is left as it is by the command itself.
"""

from __future__ import annotations

import asyncio
import logging
from uuid import UUID

from domain.errors import DomainError
from domain.marketplace import Ask, Marketplace
from domain.order import Order
from projections.queries import DueOrder, Queries
from streams.house import house_cause

INTERVAL_SECONDS = 0.5

BATCH = 1_000
"""Orders ended together; the actors decide them in transactions of 256 (domain/actors.py)."""

log = logging.getLogger(__name__)


class Deadlines:
    """The timer that ends due orders."""

    def __init__(self, queries: Queries, marketplace: Marketplace) -> None:
        self._queries = queries
        self._marketplace = marketplace
        self._ended: set[UUID] = set()
        """Orders ended here that the read model still shows as due."""

    async def tick(self) -> None:
        """Ends every order that is due now. Raises `psycopg.Error`."""
        seen: set[UUID] = set()
        last: DueOrder | None = None
        while due := await self._queries.due_orders(BATCH, last):
            last = due[-1]
            ids = {order.order_id for order in due}
            seen |= ids
            refused = [code for code in await asyncio.gather(*map(self._end, ids - self._ended)) if code]
            if refused:
                log.warning("%d orders could not be ended yet (%s)", len(refused), refused[0])
                return
        self._ended &= seen

    async def _end(self, order_id: UUID) -> str | None:
        """Ends one order; the code of the refusal if that was not possible."""
        try:
            if not await self._marketplace.expire_order(order_id, Ask(house_cause(), _is_open)):
                self._ended.add(order_id)
        except DomainError as error:
            return error.code
        return None


def _is_open(order: Order) -> bool:
    return order.is_open
