"""How sellers' accounts at Stripe stand, asked there: so a webhook that was lost does no harm."""

from __future__ import annotations

import time

from api.limits import Buckets, Rule
from domain.ports import PaymentUnavailable, PayoutGateway
from domain.user import PayoutAccount

LOOKS_PER_ACCOUNT = Rule(burst=1, per_second=0.1)
"""Questions to Stripe about an account: a page that is read again and again asks no more often."""


class AccountLooks:
    """One question about an account at a time. Used on one event loop."""

    def __init__(self, gateway: PayoutGateway) -> None:
        self._gateway = gateway
        self._rate = Buckets(LOOKS_PER_ACCOUNT)
        self._under_way: set[str] = set()

    async def look(self, account_id: str) -> PayoutAccount | None:
        """The account as it stands; None: it was asked for a moment ago, or Stripe does not answer."""
        if account_id in self._under_way or self._rate.take(account_id, time.monotonic()):
            return None
        self._under_way.add(account_id)
        try:
            return await self._gateway.fetch_account(account_id)
        except PaymentUnavailable:
            return None
        finally:
            self._under_way.remove(account_id)
