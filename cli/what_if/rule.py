"""The other rule that the log is replayed under."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from uuid import UUID

from domain.order import Item


@dataclass(frozen=True, slots=True)
class Rule:
    """What would have been different. Nothing given: everything as it was."""

    hold_seconds: int | None = None
    """For every order, whatever its listings asked for."""
    price_factor: Decimal | None = None
    prices: dict[UUID, int] = field(default_factory=dict)
    """By listing, the price of a unit in minor units of the currency it was sold in."""

    def deadline(self, ordered_at: datetime, expires_at: datetime) -> datetime:
        """When an order's hold would have ended; `expires_at` is when it really did."""
        return expires_at if self.hold_seconds is None else ordered_at + timedelta(seconds=self.hold_seconds)

    def price(self, item: Item) -> int:
        """What a unit would have cost, in minor units; half a unit is rounded up."""
        if self.price_factor is not None:
            return int((item.price.amount * self.price_factor).to_integral_value(ROUND_HALF_UP))
        return self.prices.get(item.ticket_id, item.price.amount)
