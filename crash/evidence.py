"""What the house has in the end, asked for wherever it can be asked: the API, the sandbox, Kafka, the log."""

from __future__ import annotations

import asyncio
import urllib.parse
import urllib.request
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import psycopg

from adapters.database import make_pool
from adapters.event_log import EventLog
from cli.running import Running
from crash.client import Client, Person
from crash.topics import Partition, read_partitions
from streams.relay_state import load_state

PAGE = 100
LOG_PAGE = 2_000
HTTP_SECONDS = 20.0

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Never through a proxy that the environment names."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """An order, as its buyer reads it."""

    id: str
    person: int
    status: str
    listing: str
    units: int
    amount: int
    """In minor units."""
    charge: str | None
    refund: str | None


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """A listing, as everybody reads it."""

    id: str
    quantity: int
    available: int
    held: int
    sold: int


class Charge(msgspec.Struct, frozen=True, kw_only=True):
    """Money the payment provider took, or was refused."""

    id: str
    order: str | None
    amount: int
    succeeded: bool
    refunds: tuple[int, ...] = ()
    """The amounts that went back."""


class LogEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event of the log."""

    position: int
    subject: str
    sequence: int
    type: str
    at_ns: int
    """Since 1970."""
    data: Any
    topic: str


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """All of it."""

    orders: tuple[Order, ...]
    listings: tuple[Listing, ...]
    intents: dict[str, str | None]
    """Payment intents by id, with the order each is for."""
    charges: tuple[Charge, ...]
    log: tuple[LogEvent, ...]
    partitions: tuple[Partition, ...]


async def collect(client: Client, buyers: Sequence[Person], listings: Iterable[str], found: Running) -> Evidence:
    """Asks for everything.

    Raises:
        RuntimeError, OSError, TimeoutError: somebody does not answer, or Kafka is not the house's.
    """
    intents = {one["id"]: one["metadata"].get("order_id") for one in await _all(found, "payment_intents")}
    charges = await _all(found, "charges")
    refunds = await _all(found, "refunds")
    return Evidence(
        orders=tuple([order for buyer in buyers for order in await _orders(client, buyer)]),
        listings=tuple([await _listing(client, buyers[0], listing_id) for listing_id in listings]),
        intents=intents,
        charges=tuple(_charge(one, intents, refunds) for one in charges),
        log=tuple(await _log(found.database_url)),
        partitions=tuple(await read_partitions(found.kafka_bootstrap_servers, await _cluster(found.database_url))),
    )


async def _orders(client: Client, buyer: Person) -> list[Order]:
    orders: list[Order] = []
    cursor: str | None = None
    while True:
        more = "" if cursor is None else f"&cursor={urllib.parse.quote(cursor)}"
        page = await client.read(buyer, f"/api/orders?limit={PAGE}{more}")
        orders += [_order(buyer, item) for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            return orders


def _order(buyer: Person, item: dict[str, Any]) -> Order:
    [line] = item["items"]
    return Order(
        id=item["id"],
        person=buyer.number,
        status=item["status"],
        listing=line["ticket_id"],
        units=line["quantity"],
        amount=item["total"]["amount"],
        charge=item["charge_id"],
        refund=item["refund_id"],
    )


async def _listing(client: Client, anybody: Person, listing_id: str) -> Listing:
    return msgspec.convert(await client.read(anybody, f"/api/tickets/{listing_id}"), Listing)


async def _all(found: Running, what: str) -> list[dict[str, Any]]:
    """All pages of a list of the payment provider."""
    items: list[dict[str, Any]] = []
    more = True
    while more:
        after = f"&starting_after={items[-1]['id']}" if items else ""
        page = await asyncio.to_thread(_ask_sandbox, found, f"/v1/{what}?limit={PAGE}{after}")
        items += page["data"]
        more = page["has_more"]
    return items


def _ask_sandbox(found: Running, path: str) -> Any:
    request = urllib.request.Request(
        f"{found.stripe_api_base}{path}", headers={"Authorization": f"Bearer {found.stripe_secret_key}"}
    )
    with _direct.open(request, timeout=HTTP_SECONDS) as answer:
        return msgspec.json.decode(answer.read())


def _charge(one: dict[str, Any], intents: dict[str, str | None], refunds: Sequence[dict[str, Any]]) -> Charge:
    return Charge(
        id=one["id"],
        order=intents.get(one["payment_intent"]),
        amount=one["amount"],
        succeeded=one["status"] == "succeeded",
        refunds=tuple(refund["amount"] for refund in refunds if refund["charge"] == one["id"]),
    )


async def _cluster(database_url: str) -> str | None:
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        return (await load_state(connection)).cluster


async def _log(database_url: str) -> list[LogEvent]:
    events: list[LogEvent] = []
    async with make_pool(database_url, max_size=1) as pool:
        log = EventLog(pool)
        while page := await log.after(events[-1].position if events else 0, limit=LOG_PAGE):
            events += [
                LogEvent(
                    position=event.position,
                    subject=str(event.subject),
                    sequence=event.sequence,
                    type=event.type,
                    at_ns=_ns(event.time),
                    data=msgspec.to_builtins(event.data),
                    topic=event.topic,
                )
                for event in page
            ]
    return events


def endings(log: Iterable[LogEvent]) -> dict[str, int]:
    """When an order's units were sold or given back: nanoseconds since 1970 by order."""
    found: dict[str, int] = {}
    for event in log:
        if event.type in ("TicketReleased", "TicketSold"):
            found.setdefault(event.data["order_id"], event.at_ns)
    return found


def deadlines(log: Iterable[LogEvent]) -> dict[str, int]:
    """The orders' deadlines: nanoseconds since 1970 by order."""
    return {
        event.subject: _ns(datetime.fromisoformat(event.data["expires_at"]))
        for event in log
        if event.type == "OrderCreated"
    }


def _ns(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1_000
