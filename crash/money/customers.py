"""What buyers, sellers and banks do with money: each order meets a fate of its own, decided by the seed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from crash.client import Client, Person, Wish
from crash.money.stripe import Stripe, StripeAway

PRICES = (1, 999, 2_500, 12_000)
UNITS = 1_000_000
HOLD_SECONDS = 6
REFUND_FEE = 150

FATES = {
    "pay": 46,
    "decline": 6,
    "authenticate": 4,
    "by the browser": 6,
    "too late": 7,
    "cancel": 7,
    "cancel and pay": 7,
    "forget": 5,
    "dispute": 7,
    "refund that fails": 5,
}
"""How often each, in a hundred orders."""

AFTERWARDS = {"keep": 55, "give back": 15, "seller refunds": 17, "refund at Stripe": 8, "ask twice": 5}
"""What becomes of a paid one."""

GOOD, DECLINED, ASKING = "pm_card_visa", "pm_card_visa_chargeDeclined", "pm_card_authenticationRequired"
DISPUTED, FAILING = "pm_card_createDispute", "pm_card_refundFail"

THINK_SECONDS = 0.2


@dataclass
class Market:
    """Who sells what, and how many orders there are."""

    sellers: list[Person]
    listings: list[tuple[str, Person]] = field(default_factory=list)
    wanted: int = 0
    made: int = 0

    def take_turn(self) -> bool:
        """Whether one more order is to be made; counts it."""
        if self.made >= self.wanted:
            return False
        self.made += 1
        return True


async def open_market(client: Client, market: Market, chance: random.Random) -> None:
    """Every seller offers every price, half of them with terms for giving back."""
    starts_at = datetime.now(UTC) + timedelta(days=30)
    for seller in market.sellers:
        for price in PRICES:
            body = {
                "title": f"Row {price}",
                "event": {"name": "Money night", "starts_at": starts_at.isoformat(), "venue": "Hall"},
                "price": {"amount": price, "currency": "EUR"},
                "quantity": UNITS,
                "hold_seconds": HOLD_SECONDS,
                "resell_returned": chance.choice((True, False)),
            }
            if price > REFUND_FEE:
                body |= {"refund_until": starts_at.isoformat(), "refund_fee": REFUND_FEE}
            wish = Wish("offer", "POST", "/api/tickets", body).under_new_key(chance)
            made = await client.until_answered(seller, wish, chance)
            if made.outcome != "ok":
                raise RuntimeError(f"a listing could not be made: {made.status} {made.answer}")
            market.listings.append((made.body()["id"], seller))


class Customer:
    """Orders again and again, and leads each order to its fate."""

    def __init__(self, client: Client, person: Person, market: Market, stripe: Stripe, seed: int) -> None:
        self._client = client
        self._person = person
        self._market = market
        self._stripe = stripe
        self._chance = random.Random(f"{seed} customer {person.number}")

    async def run(self) -> None:
        """Until as many orders are made as are wanted."""
        while self._market.take_turn():
            chosen = self._chance.sample(self._market.listings, self._chance.choice((1, 1, 1, 2, 3)))
            items = [{"ticket_id": ticket_id, "quantity": self._chance.randint(1, 3)} for ticket_id, _ in chosen]
            made = await self._ask("POST", "/api/orders", {"items": items})
            if made is not None:
                with suppress(StripeAway):
                    await self._lead(made, dict(chosen))

    async def _lead(self, order: Any, sellers: dict[str, Person]) -> None:
        fate = self._pick(FATES)
        if fate == "cancel":
            await self._ask("DELETE", f"/api/orders/{order['id']}")
        if fate in ("cancel", "forget"):
            return
        for card in _cards(fate):
            await self._pay(order, card)
        if fate in ("by the browser", "too late", "cancel and pay"):
            await self._pay_by_the_browser(order, fate)
        await self._live_with(order, sellers)

    async def _pay(self, order: Any, card: str) -> None:
        paid = await self._ask("POST", "/api/payments", {"order_id": order["id"], "payment_method": card})
        if paid is not None and paid["status"] == "requires_action":
            await self._stripe.authenticate(paid["payment_intent_id"], succeed=self._chance.choice((True, True, False)))

    async def _pay_by_the_browser(self, order: Any, fate: str) -> None:
        """Past this house, as Stripe.js does; its webhook is all that tells of it."""
        intent = await self._ask("POST", "/api/payments", {"order_id": order["id"]})
        if intent is None:
            return
        if fate == "too late":
            await asyncio.sleep(HOLD_SECONDS + self._chance.uniform(-0.5, 0.5))
        if fate == "cancel and pay":
            await self._ask("DELETE", f"/api/orders/{order['id']}")
        await self._stripe.confirm(intent["payment_intent_id"], GOOD)

    async def _live_with(self, order: Any, sellers: dict[str, Person]) -> None:
        then = self._pick(AFTERWARDS)
        path = f"/api/orders/{order['id']}/refund"
        await asyncio.sleep(self._chance.uniform(0, THINK_SECONDS))
        if then in ("give back", "ask twice"):
            some = self._chance.choice(order["items"])
            quantity = self._chance.randint(1, some["quantity"])
            body = {"items": [{"ticket_id": some["ticket_id"], "quantity": quantity}]}
            for _ in range(2 if then == "ask twice" else 1):
                await self._ask("POST", path, body)
        elif then == "seller refunds":
            await self._ask("POST", path, {}, self._chance.choice(list(sellers.values())))
        elif then == "refund at Stripe":
            await self._refund_at_stripe(order)

    async def _refund_at_stripe(self, order: Any) -> None:
        """Somebody of the house refunds in Stripe's dashboard, all or a part."""
        seen = await self._client.read(self._person, f"/api/orders/{order['id']}")
        if seen["charge_id"] is not None:
            whole = order["total"]["amount"]
            await self._stripe.refund(seen["charge_id"], self._chance.choice((whole, 1, whole // 2 or 1)))

    async def _ask(self, method: str, path: str, body: Any = None, person: Person | None = None) -> Any | None:
        """Under a key, until it is answered; None: refused."""
        wish = Wish("money", method, path, body)
        if method == "POST":
            wish = wish.under_new_key(self._chance)
            answered = await self._client.until_answered(person or self._person, wish, self._chance)
        else:
            answered = await self._client.once(person or self._person, wish)
        return answered.body() if answered.outcome == "ok" else None

    def _pick(self, weights: dict[str, int]) -> str:
        return self._chance.choices(list(weights), list(weights.values()))[0]


def _cards(fate: str) -> Iterator[str]:
    if fate == "decline":
        yield DECLINED
    yield from {
        "pay": (GOOD,),
        "decline": (GOOD,),
        "authenticate": (ASKING,),
        "dispute": (DISPUTED,),
        "refund that fails": (FAILING,),
    }.get(fate, ())
