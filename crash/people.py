"""What the seller and the buyers do: each from a random source of its own, made of the seed."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from crash.client import Client, Person, Wish
from crash.history import BAD_CARD, CANCEL, EDIT, GOOD_CARD, OFFER, PAY, RESERVE, Try

LISTINGS = 4
"""On sale at a time: few enough that buyers fight for them."""

ORDERS_A_LISTING = 200
"""Then another one takes its place: a listing that is sold out for good says the same for ever, and who looks for an
order that explains a history wants it short."""

LEAST_UNITS, MOST_UNITS = 30, 150
LEAST_HOLD_SECONDS, MOST_HOLD_SECONDS = 3, 7
AMOUNT = 2_500
"""Of a unit, in euro cents."""

THINK_SECONDS = 0.6
"""The longest that a buyer thinks between two requests."""

KEYED = 0.85
"""Share of the requests with a key. Without one nobody learns what came of a request whose answer was lost; few of
these are enough to see that the house bears them, and many would make every history explicable."""

ASKED_AGAIN = 0.15
"""Share of the answered requests under a key that are made once more."""


@dataclass(slots=True)
class OnSale:
    """A listing that buyers choose from."""

    id: str
    asked: int = 0


class Shop:
    """The seller: keeps some listings on sale and edits them meanwhile."""

    def __init__(self, client: Client, seller: Person, seed: int) -> None:
        self._client = client
        self._seller = seller
        self._chance = random.Random(f"{seed} seller")
        self._made = 0
        self.on_sale: list[OnSale] = []

    async def open(self) -> None:
        """Returns when there is something to buy."""
        self.on_sale = [await self._offer() for _ in range(LISTINGS)]

    async def run(self, ended: asyncio.Event) -> None:
        """Replaces what was asked for often enough, and edits, until the end."""
        while not ended.is_set():
            for place, listing in enumerate(self.on_sale):
                if listing.asked >= ORDERS_A_LISTING:
                    self.on_sale[place] = await self._offer()
            await self._edit(self._chance.choice(self.on_sale))
            await asyncio.sleep(self._chance.uniform(0.2, 1.0))

    async def _offer(self) -> OnSale:
        self._made += 1
        quantity = self._chance.randint(LEAST_UNITS, MOST_UNITS)
        hold_seconds = self._chance.randint(LEAST_HOLD_SECONDS, MOST_HOLD_SECONDS)
        wish = new_listing(f"Row {self._made}", quantity, hold_seconds).under_new_key(self._chance)
        made = await self._client.until_answered(self._seller, wish, self._chance)
        if made.outcome != "ok":
            raise RuntimeError(f"a listing could not be made: {made.status} {made.answer}")
        return OnSale(made.body()["id"])

    async def _edit(self, listing: OnSale) -> None:
        body = {"description": f"edited {self._chance.random()}"}
        wish = Wish(EDIT, "PATCH", f"/api/tickets/{listing.id}", body, listing=listing.id)
        await self._client.once(self._seller, wish)


class Buyer:
    """Orders, and then pays, cancels or forgets."""

    def __init__(self, client: Client, person: Person, shop: Shop, seed: int) -> None:
        self._client = client
        self._person = person
        self._shop = shop
        self._chance = random.Random(f"{seed} buyer {person.number}")

    async def run(self, ended: asyncio.Event) -> None:
        """Until the end; what was begun under a key is brought to its answer."""
        while not ended.is_set():
            await self._think()
            order = await self._reserve(self._chance.choice(self._shop.on_sale))
            if order is None:
                continue
            await self._think()
            fate = self._chance.choices(("pay", "decline", "late", "cancel", "forget"), (40, 8, 7, 20, 25))[0]
            if fate == "decline":
                await self._pay(order, BAD_CARD)
            if fate == "late":
                await self._await_deadline(order)
            if fate == "cancel":
                await self._cancel(order)
            elif fate != "forget":
                await self._pay(order, GOOD_CARD)

    async def _reserve(self, listing: OnSale) -> Try | None:
        quantity = self._chance.choice((1, 1, 1, 2, 3, 5))
        listing.asked += 1
        made = await self._keyed_or_not(new_order(listing.id, quantity))
        return made if made.outcome == "ok" else None

    async def _pay(self, order: Try, card: str) -> None:
        wish = new_payment(order, card)
        paid = await self._keyed_or_not(wish)
        if paid.outcome == "unknown" and self._chance.random() < 0.5:  # noqa: PLR2004 - a coin
            await self._keyed_or_not(wish)

    async def _cancel(self, order: Try) -> None:
        wish = Wish(CANCEL, "DELETE", f"/api/orders/{order.order}", listing=order.listing, order=order.order)
        if (await self._client.once(self._person, wish)).outcome in ("unknown", "nothing"):
            await self._think()
            await self._client.once(self._person, wish)

    async def _keyed_or_not(self, wish: Wish) -> Try:
        if self._chance.random() >= KEYED:
            return await self._client.once(self._person, wish)
        wish = wish.under_new_key(self._chance)
        answered = await self._client.until_answered(self._person, wish, self._chance)
        if self._chance.random() < ASKED_AGAIN:
            await self._client.once(self._person, wish)
        return answered

    async def _await_deadline(self, order: Try) -> None:
        """A moment before the deadline or after it: the race that has to have one winner."""
        deadline = datetime.fromisoformat(order.body()["expires_at"])
        left_seconds = (deadline - datetime.now(UTC)).total_seconds()
        await asyncio.sleep(max(0.0, left_seconds + self._chance.uniform(-0.1, 0.1)))

    async def _think(self) -> None:
        await asyncio.sleep(self._chance.uniform(0, THINK_SECONDS))


def new_listing(title: str, quantity: int, hold_seconds: int) -> Wish:
    """To be sold from now on."""
    starts_at = (datetime.now(UTC) + timedelta(days=30)).isoformat()
    body = {
        "title": title,
        "event": {"name": "Crash night", "starts_at": starts_at, "venue": "Hall"},
        "price": {"amount": AMOUNT, "currency": "EUR"},
        "quantity": quantity,
        "hold_seconds": hold_seconds,
    }
    return Wish(OFFER, "POST", "/api/tickets", body, quantity=quantity)


def new_order(listing: str | None, quantity: int) -> Wish:
    """Of one listing, so that what happens to one listing has nothing to do with another."""
    body = {"items": [{"ticket_id": listing, "quantity": quantity}]}
    return Wish(RESERVE, "POST", "/api/orders", body, listing=listing, quantity=quantity)


def new_payment(order: Try, card: str) -> Wish:
    """Of an order that was answered."""
    body = {"order_id": order.order, "payment_method": card}
    return Wish(PAY, "POST", "/api/payments", body, listing=order.listing, order=order.order, card=card)
