"""Decides that sellers are paid, once the time of their order has come. What follows is a reaction.

Orders that cannot be paid (no account at Stripe yet, a dispute, an event put off) stay due and are come by again: so
this goes round, a page at a time, and costs the same however many wait.
"""

from __future__ import annotations

import asyncio
import logging

from domain.errors import DomainError, OrderDisputed
from domain.marketplace import Marketplace
from projections.queries import PayoutDue, Queries
from streams.house import house_ask

INTERVAL_SECONDS = 2.0

PAGE = 500
"""Orders looked at in one tick: a million that wait are come by in little more than an hour."""

log = logging.getLogger(__name__)


class Payouts:
    """The timer behind payouts."""

    def __init__(self, queries: Queries, marketplace: Marketplace) -> None:
        self._queries = queries
        self._marketplace = marketplace
        self._last: PayoutDue | None = None

    async def tick(self) -> None:
        """Looks at the next page. Raises `psycopg.Error`."""
        page = await self._queries.payouts_due(PAGE, self._last)
        await asyncio.gather(*(self._release(due) for due in page if due.is_payable))
        self._last = page[-1] if len(page) == PAGE else None

    async def _release(self, due: PayoutDue) -> None:
        try:
            await self._marketplace.release_payouts(due.order_id, house_ask())
        except OrderDisputed:
            pass  # until its bank has decided
        except DomainError as error:
            log.warning("payouts of order %s are put off (%s)", due.order_id, error.code)
