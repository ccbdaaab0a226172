"""Refunds at Stripe. A refund is known by its metadata: the order, its number there, and which try it is."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any
from uuid import UUID

import stripe

from adapters.stripe_amounts import to_stripe
from adapters.stripe_client import StripeClient, checked, read, unavailable
from adapters.stripe_objects import RefundObject
from domain.order_refunds import RefundMade
from domain.payouts import Refund


class StripeRefunds(StripeClient):
    """The part of `domain.ports.PaymentGateway` that sends money back."""

    async def refund(self, order_id: UUID, refund: Refund) -> RefundMade:
        """See `domain.ports.PaymentGateway`. Stripe forgets keys after a day: what was made before is looked up.

        One that Stripe says has failed already is returned like any other: its webhook comes, and makes it due again.
        """
        tagged = {"order_id": str(order_id), "refund": str(refund.number), "tries": str(refund.tries)}
        made = await self._find_refund(refund, tagged) or await self._make_refund(order_id, refund, tagged)
        return checked(lambda: made.made(order_id))

    async def _make_refund(self, order_id: UUID, refund: Refund, tagged: dict[str, str]) -> RefundObject:
        def make(key: str) -> Awaitable[Any]:
            wanted = {"charge": refund.charge_id, "amount": to_stripe(refund.money), "metadata": tagged}
            return self._post("refunds", wanted, key)

        try:
            made = await self._once(make, f"order-{order_id}-refund-{refund.number}-{refund.tries}")
            return read(made, RefundObject)
        except stripe.InvalidRequestError as error:
            # Made by an earlier version or at Stripe itself: it has no number, and the order takes it for this one.
            older = await self._find_refund(refund, None) if error.code == "charge_already_refunded" else None
            if older is None:
                raise unavailable(error) from error
            return older

    async def _find_refund(self, refund: Refund, tagged: dict[str, str] | None) -> RefundObject | None:
        """The one with this metadata; None: one of this amount that no order here has numbered."""
        async for known in self._all("refunds", {"charge": refund.charge_id}, RefundObject):
            if known.has_failed():
                continue
            if tagged is not None and known.metadata == tagged:
                return known
            if tagged is None and not known.tag("refund") and known.amount == to_stripe(refund.money):
                return known
        return None
