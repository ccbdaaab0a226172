"""Sell-out: the whole demo catalogue, 104 matches with 7,241,000 seats, is ordered and paid until no seat is left.

A hundredth of every stadium by default, all of it with `STAGEDOOR_BENCH_WHOLE=1`. Concurrent buyers order 1 to 8 seats
at a time over HTTP and pay each order with a card of the Stripe sandbox, on a whole marketplace. The orders are dealt
out beforehand so that they add up to the stadiums: each one has to be taken and paid, a single refusal is an error.
Then the webhooks and the read models are waited for, and `stagedoor verify` has to find that everything is what the
log says.

The time for the whole catalogue is measured if the whole is sold, else it is extrapolated from the seats per second of
the part that was sold; the figure says which. What a paid order costs must not grow while orders pile up: `--scale 10`
sells a tenth in some ten minutes, long enough for what piles up to show.
"""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from statistics import median
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import msgspec
import uvloop

from bench.figures import Bar, Figure, Plan
from bench.history import Past, write
from bench.people import make_accounts, make_tokens
from bench.requests import post
from bench.stand import Stand, stand
from data import world_cup

WHOLE = "STAGEDOOR_BENCH_WHOLE"
SHARE = 0.01
BUYERS = 128
"""Each orders and pays on a connection of its own, one thing at a time."""

MOST_SEATS = 8
CARD = "pm_card_visa"
NEW_TOKENS_SECONDS = 300.0
"""Half of an access token's life."""

ANSWER_SECONDS = 60.0
VERIFY_SECONDS = 3600.0
MEGABYTE = 1_000_000
SLICES = 50
"""Of the curve of orders over time."""

LOOKS = 20
"""At what the orders have cost so far, at even distances, after the one at the start."""

SECOND, LAST = 1, 3
"""Quarters of a sale: in the first one caches fill, and programs are compiled."""

CREATED = 201


class _Made(msgspec.Struct):
    """What of an answer is read."""

    id: UUID


@dataclass(frozen=True)
class _Look:
    """At the marketplace, while it sells."""

    orders: int
    """Made and paid so far."""
    processors: dict[str, float]
    """Seconds that each part has used so far."""
    api_bytes: int
    """Resident."""


@dataclass(frozen=True)
class _Sale:
    """What was sold, and when: an entry an order, in seconds since the start."""

    seats: int
    paid_at: Sequence[float]
    order_ms: Sequence[float]
    payment_ms: Sequence[float]
    webhooks_seconds: float
    """After the last seat was paid, until the last webhook was delivered."""
    catch_up_seconds: float
    looks: Sequence[_Look]
    """The first one before the first order, the last one after the last."""
    verified: str
    """What `stagedoor verify` said."""

    @property
    def seconds(self) -> float:
        return max(self.paid_at)

    @property
    def seats_per_second(self) -> float:
        return self.seats / self.seconds

    def cost(self, quarter: int) -> float:
        """Microseconds of processor time a paid order took, of all parts, in a quarter (0 to 3) of the sale."""
        first, last = (self.looks[LOOKS * edge // 4] for edge in (quarter, quarter + 1))
        return sum(_costs(first, last).values())


def _costs(first: _Look, last: _Look) -> dict[str, float]:
    """Microseconds of processor time a paid order took between two looks, by part."""
    orders = last.orders - first.orders
    return {part: 1e6 * (used - first.processors[part]) / orders for part, used in last.processors.items()}


def run(plan: Plan) -> Sequence[Figure]:
    """Three figures: that it all adds up, how long the whole takes, and whether what an order costs stays the same.

    The whole is sold once, a part in every run.
    """
    whole = os.environ.get(WHOLE) == "1"
    share = 1.0 if whole else SHARE * plan.scale
    sales = [_sell(share) for _ in range(1 if whole else plan.runs)]
    rates = [len(sale.paid_at) / sale.seconds for sale in sales]
    minutes = [world_cup.SEATS / sale.seats_per_second / 60 for sale in sales]
    details = {"share": share, "runs": [_told(sale) for sale in sales]}
    how = "measured" if whole else f"extrapolated from {share:.2%} of the seats"
    return [
        Figure(
            name=f"sell-out: {sales[0].seats:,} seats of {world_cup.MATCHES} matches sold, paid and verified",
            judged=[1.0 for _ in sales],
            unit="×",
            bar=Bar(1.0, 1.0),
            figure=f"{median(rates):,.0f} orders/s, ordered and paid",
            details=details,
        ),
        Figure(
            name=f"sell-out: all {world_cup.SEATS:,} seats",
            judged=minutes,
            unit="min",
            bar=Bar(float("inf"), 30.0, below=True),
            figure=f"{median(minutes):.0f} min, {how}",
            details=details,
        ),
        Figure(
            name="sell-out: processor time of a paid order, the last quarter of the sale against the second",
            judged=[sale.cost(LAST) / sale.cost(SECOND) for sale in sales],
            unit="×",
            bar=Bar(1.3, 1.1, below=True),
            figure=f"{median(sale.cost(LAST) for sale in sales):,.0f} µs",
            limit=f"{median(sale.cost(SECOND) for sale in sales):,.0f} µs",
            details=details,
        ),
    ]


def _sell(share: float) -> _Sale:
    """Sells a share of every stadium on a fresh marketplace.

    Raises:
        RuntimeError: a request was not answered as it should, or `stagedoor verify` found a difference.
    """
    with stand() as marketplace:
        people = make_accounts(marketplace.database_url, BUYERS + 1)
        past = Past(people, datetime.now(UTC))
        write(marketplace.database_url, past, past.sign_ups())
        crowd = _Crowd(marketplace, people)
        seats = uvloop.run(crowd.sell(share))
        told = marketplace.await_webhooks()
        waited = marketplace.await_read_models()
        verified = _verify(marketplace)
    return _Sale(seats, crowd.paid_at, crowd.order_ms, crowd.payment_ms, told, waited, crowd.looks, verified)


@dataclass
class _Crowd:
    """Buyers who take the orders to be made from one queue."""

    marketplace: Stand
    people: Sequence[UUID]
    """The first one sells."""
    paid_at: list[float] = field(default_factory=list)
    order_ms: list[float] = field(default_factory=list)
    payment_ms: list[float] = field(default_factory=list)
    looks: list[_Look] = field(default_factory=list)
    _tokens: list[str] = field(default_factory=list)

    async def sell(self, share: float) -> int:
        """Lists the matches and sells them out; the seats there were."""
        await self._renew_tokens()
        renewing = asyncio.create_task(self._keep_tokens_fresh())
        try:
            offers = world_cup.listings(datetime.now(UTC))
            for offer in offers:
                offer["quantity"] = max(1, round(offer["quantity"] * share))
            orders = _dealt(await self._list(offers), offers)
            self._looks_at = {len(orders) * number // LOOKS for number in range(LOOKS + 1)}
            self._look()
            self._began = time.monotonic()
            async with asyncio.TaskGroup() as buying:
                for buyer in range(1, len(self.people)):
                    buying.create_task(self._buy(buyer, orders))
        finally:
            renewing.cancel()
        return sum(offer["quantity"] for offer in offers)

    async def _list(self, offers: Sequence[dict[str, Any]]) -> list[UUID]:
        async with _Connection(self.marketplace.url) as connection:
            return [await self._made(connection, "/api/tickets", 0, offer) for offer in offers]

    async def _buy(self, buyer: int, orders: deque[tuple[UUID, int]]) -> None:
        async with _Connection(self.marketplace.url) as connection:
            while orders:
                ticket_id, quantity = orders.popleft()
                began = time.monotonic()
                order = {"items": [{"ticket_id": ticket_id, "quantity": quantity}]}
                order_id = await self._made(connection, "/api/orders", buyer, order)
                ordered = time.monotonic()
                await self._post(connection, "/api/payments", buyer, {"order_id": order_id, "payment_method": CARD})
                paid = time.monotonic()
                self.order_ms.append(1000 * (ordered - began))
                self.payment_ms.append(1000 * (paid - ordered))
                self.paid_at.append(paid - self._began)
                if len(self.paid_at) in self._looks_at:
                    self._look()

    def _look(self) -> None:
        processors, resident = self.marketplace.cpu_seconds(), self.marketplace.memory_bytes("api")
        self.looks.append(_Look(len(self.paid_at), processors, resident))

    async def _made(self, connection: _Connection, path: str, person: int, body: object) -> UUID:
        return msgspec.json.decode(await self._post(connection, path, person, body), type=_Made).id

    async def _post(self, connection: _Connection, path: str, person: int, body: object) -> bytes:
        headers = f"Authorization: Bearer {self._tokens[person]}\r\n".encode()
        status, answer = await connection.ask(post(path, msgspec.json.encode(body), headers))
        if status != CREATED:
            raise RuntimeError(f"POST {path}: {status} {answer.decode(errors='replace')}")
        return answer

    async def _keep_tokens_fresh(self) -> None:
        while True:
            await asyncio.sleep(NEW_TOKENS_SECONDS)
            await self._renew_tokens()

    async def _renew_tokens(self) -> None:
        self._tokens = await asyncio.to_thread(make_tokens, self.marketplace.database_url, self.people)


class _Connection:
    """One kept HTTP/1.1 connection, one request at a time: a fraction of what a client library costs."""

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url)

    async def __aenter__(self) -> _Connection:
        self._reader, self._writer = await asyncio.open_connection(self._address.hostname, self._address.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """The answer's status and body."""
        async with asyncio.timeout(ANSWER_SECONDS):
            self._writer.write(request)
            head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length: ")[2].partition(b"\r")[0])
            return int(head[9:12]), await self._reader.readexactly(length)


def _dealt(ticket_ids: Sequence[UUID], offers: Sequence[dict[str, Any]]) -> deque[tuple[UUID, int]]:
    """Orders of 1 to 8 seats that come to all seats of each match, in random order."""
    chance = random.Random(2026)
    orders = []
    for ticket_id, offer in zip(ticket_ids, offers, strict=True):
        left = offer["quantity"]
        while left:
            quantity = min(left, chance.randint(1, MOST_SEATS))
            orders.append((ticket_id, quantity))
            left -= quantity
    chance.shuffle(orders)
    return deque(orders)


def _verify(marketplace: Stand) -> str:
    """What `stagedoor verify` says.

    Raises:
        RuntimeError: it found a difference.
    """
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", "verify"],
        env={**os.environ, "DATABASE_URL": marketplace.database_url},
        capture_output=True,
        text=True,
        timeout=VERIFY_SECONDS,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"stagedoor verify ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def _told(sale: _Sale) -> dict[str, Any]:
    slice_seconds = sale.seconds / SLICES
    paid = Counter(min(SLICES - 1, int(at / slice_seconds)) for at in sale.paid_at)
    return {
        "orders": len(sale.paid_at),
        "seats": sale.seats,
        "seconds": sale.seconds,
        "orders_per_second_over_time": [
            (round((number + 0.5) * slice_seconds, 2), round(paid[number] / slice_seconds)) for number in range(SLICES)
        ],
        "order_ms": _percentiles(sale.order_ms),
        "payment_ms": _percentiles(sale.payment_ms),
        "processor_us_by_orders": [
            (last.orders, {part: round(cost) for part, cost in _costs(first, last).items()})
            for first, last in pairwise(sale.looks)
        ],
        "api_mb_by_orders": [(look.orders, look.api_bytes // MEGABYTE) for look in sale.looks],
        "webhooks_delivered_after_seconds": sale.webhooks_seconds,
        "read_models_caught_up_after_seconds": sale.catch_up_seconds,
        "verified": sale.verified.splitlines(),
    }


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {str(percent): ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] for percent in (50, 99, 100)}
