"""What Stripe has in its books, page by page, for comparing it with the log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from math import ceil
from typing import Any

from adapters.stripe_client import StripeClient, checked, path
from adapters.stripe_disputes import DisputeObject
from adapters.stripe_objects import SUCCEEDED, ChargeObject, RefundObject, at, id_of
from domain.ports import BookedCharge, BookedDispute, BookedRefund


class StripeBooks(StripeClient):
    """`domain.ports.PaymentBooks`."""

    async def charges(self, since: datetime, until: datetime) -> AsyncIterator[BookedCharge]:
        """See `domain.ports.PaymentBooks`. A charge that was made without an intent is none of this house's."""
        wanted = {"created": _between(since, until), "expand": ["data.balance_transaction"]}
        async for charge in self._all("charges", wanted, ChargeObject):
            if charge.status == SUCCEEDED and charge.payment_intent is not None:
                yield checked(charge.booked)

    async def refunds(self, since: datetime, until: datetime) -> AsyncIterator[BookedRefund]:
        """See `domain.ports.PaymentBooks`."""
        async for refund in self._all("refunds", {"created": _between(since, until)}, RefundObject):
            if refund.charge is not None:
                yield checked(refund.booked)

    async def disputes(self, since: datetime, until: datetime) -> AsyncIterator[BookedDispute]:
        """See `domain.ports.PaymentBooks`."""
        async for told in self._all("disputes", {"created": _between(since, until)}, DisputeObject):
            yield BookedDispute(id_of(told.payment_intent), checked(told.word), at(told.created))

    async def find_charge(self, charge_id: str) -> BookedCharge | None:
        """See `domain.ports.PaymentBooks`."""
        charge = await self._find(self._get(path("charges", charge_id)), ChargeObject)
        return checked(charge.booked) if charge is not None and charge.status == SUCCEEDED else None

    async def find_refund(self, refund_id: str) -> BookedRefund | None:
        """See `domain.ports.PaymentBooks`."""
        refund = await self._find(self._get(path("refunds", refund_id)), RefundObject)
        return None if refund is None else checked(refund.booked)


def _between(since: datetime, until: datetime) -> dict[str, Any]:
    """Stripe counts whole seconds: what was made within one belongs to its beginning."""
    return {"gte": ceil(since.timestamp()), "lt": ceil(until.timestamp())}
