"""Listings live: what one sees is what becomes of them, within a bound, and it holds up nobody who wants to stop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import msgspec
import pytest

from api import live, live_board
from tests.api.conftest import OpenHouse
from tests.api.house import House, eventually, settings_of
from tests.doors.served import served

SOON = 3.0


class Events:
    """The events of a stream, one at a time."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    async def block(self) -> dict[str, str]:
        """The next event, or comment, as its fields."""
        fields: dict[str, str] = {}
        while True:
            line = (await asyncio.wait_for(self.response.content.readline(), SOON)).decode()
            if line == "":
                raise EOFError
            if line == "\n":
                return fields
            name, _, value = line.rstrip("\n").partition(": ")
            fields[name] = value

    async def items(self) -> list[Any]:
        """The listings of the next event that tells of any."""
        while True:
            fields = await self.block()
            if "data" in fields:
                items: list[Any] = msgspec.json.decode(fields["data"])["items"]
                return items


@asynccontextmanager
async def listening(house: House, path: str, last: str | None = None) -> AsyncIterator[Events]:
    headers = {} if last is None else {"Last-Event-ID": last}
    async with aiohttp.ClientSession() as session, session.get(f"{house.url}/api{path}", headers=headers) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        yield Events(response)


async def test_one_sees_what_others_order(house: House) -> None:
    seller, buyer = await house.person(), await house.person()
    ticket = await house.listing(seller)
    await house.project()
    async with listening(house, f"/tickets/{ticket['id']}/live") as events:
        assert (await events.block())["retry"] == "3000"
        (first,) = await events.items()
        assert (first["available"], first["held"], first["version"]) == (5, 0, 1)
        await house.order(buyer, ticket["id"], 2)
        await house.project()
        (second,) = await events.items()
        assert (second["available"], second["held"], second["status"]) == (3, 2, "open")
        price = {"amount": 2500, "currency": "EUR"}
        assert (second["id"], second["price"]) == (ticket["id"], price)


async def test_many_are_told_together_and_only_what_changed(house: House) -> None:
    seller, buyer = await house.person(), await house.person()
    tickets = [await house.listing(seller) for _ in range(3)]
    await house.project()
    ids = ",".join([*(ticket["id"] for ticket in tickets), str(uuid4()), tickets[0]["id"]])
    async with listening(house, f"/tickets/live?ids={ids}") as events:
        assert [one["id"] for one in await events.items()] == [ticket["id"] for ticket in tickets]
        await house.order(buyer, tickets[1]["id"], 5)
        await house.project()
        (changed,) = await events.items()
        assert (changed["id"], changed["status"]) == (tickets[1]["id"], "sold_out")


async def test_who_comes_again_is_told_only_what_is_new(house: House) -> None:
    seller, buyer = await house.person(), await house.person()
    ticket, other = await house.listing(seller), await house.listing(seller)
    await house.project()
    for path in (
        f"/tickets/{ticket['id']}/live?seconds=0",
        f"/tickets/live?seconds=0&ids={ticket['id']},{other['id']}",
    ):
        async with listening(house, path) as events:
            await events.block()
            last = (await events.block())["id"]
        async with listening(house, path, last) as events:
            await events.block()
            with pytest.raises(EOFError):
                await events.block()
        await house.order(buyer, ticket["id"])
        await house.project()
        async with listening(house, path, last) as events:
            assert ticket["id"] in [one["id"] for one in await events.items()]


async def test_a_listing_that_no_read_model_knows_yet(house: House) -> None:
    ticket = await house.listing(await house.person())
    async with listening(house, f"/tickets/{ticket['id']}/live?seconds=0") as events:
        assert [one["id"] for one in await events.items()] == [ticket["id"]]
    for path in (f"/tickets/{uuid4()}/live", f"/tickets/live?ids={uuid4()},{uuid4()}"):
        assert (await house.call("GET", path)).code == "ticket_not_found"


async def test_a_silent_stream_says_that_it_lives(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "HEARTBEAT_SECONDS", 0.05)
    ticket = await house.listing(await house.person())
    async with listening(house, f"/tickets/{ticket['id']}/live") as events:
        await events.items()
        assert (await events.block()) == {"": "still here"}


async def test_one_look_for_all_of_them(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many watch, a listing is read once each time."""
    ticket = await house.listing(await house.person())
    await house.project()
    looks: list[Any] = []
    look = house.services.live._look

    async def counted(ids: Any) -> Any:
        looks.append(list(ids))
        return await look(ids)

    monkeypatch.setattr(house.services.live, "_look", counted)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        url = f"{house.url}/api/tickets/{ticket['id']}/live"
        started = time.monotonic()
        watching = await asyncio.gather(*(session.get(url) for _ in range(50)))
        await eventually(lambda: seen(len(looks) >= 2))
        took = time.monotonic() - started
        assert len(looks) <= took / live_board.INTERVAL_SECONDS + 2
        assert all(len(ids) == 1 for ids in looks)
        for response in watching:
            response.close()


async def test_who_has_left_gives_the_place_back(database_url: str, tmp_path: Path) -> None:
    """As it is served, where nobody ends a handler whose client is gone: long before the next heartbeat."""
    async with served(settings_of(database_url, tmp_path, stripe_api_base="http://127.0.0.1:9")) as house:
        ticket = await house.listing(await house.person())
        async with listening(house, f"/tickets/{ticket['id']}/live") as events:
            await events.items()
            await asyncio.sleep(3 * live_board.INTERVAL_SECONDS)  # past the first looks, after which nothing is new
            assert len(house.services.live.streams) == 1
        assert await eventually(lambda: seen(not house.services.live.streams))


async def test_what_stays_as_it_is_is_not_told_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    monkeypatch.setattr(live_board.Watch, "tell", lambda _, ticket_id, state: told.append((ticket_id, state.version)))
    ticket = await house.listing(await house.person())
    await house.project()
    async with listening(house, f"/tickets/{ticket['id']}/live"):
        assert await eventually(lambda: seen(told))
        await asyncio.sleep(3 * live_board.INTERVAL_SECONDS)
    assert told == [(UUID(ticket["id"]), 1)]


async def seen(value: Any) -> Any:
    return value


@pytest.mark.parametrize("bound", ["MAX_STREAMS", "MAX_STREAMS_PER_ADDRESS"])
async def test_beyond_the_bound_one_comes_again_later(
    house: House, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    monkeypatch.setattr(live_board, bound, 2)
    ticket = await house.listing(await house.person())
    path = f"/tickets/{ticket['id']}/live"
    async with listening(house, path) as one, listening(house, path) as two:
        await one.items()
        await two.items()
        await eventually(lambda: seen(len(house.services.live.streams) == 2))
        refused = await house.call("GET", f"{path}?seconds=0")
        assert (refused.status, refused.code, refused.headers["Retry-After"]) == (503, "busy", "1")
    await eventually(lambda: seen(not house.services.live.streams))
    assert (await house.call("GET", f"{path}?seconds=0")).status == 200


async def test_so_many_different_ones_are_watched_at_most(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_board, "MAX_WATCHED", 1)
    ticket = await house.listing(await house.person())
    async with listening(house, f"/tickets/{ticket['id']}/live") as events:
        await events.items()
        await eventually(lambda: seen(len(house.services.live.streams) == 1))
        assert (await house.call("GET", f"/tickets/{ticket['id']}/live?seconds=0")).code == "busy"


@pytest.mark.parametrize("ids", ["", "x", f"{uuid4()},", ",".join(str(uuid4()) for _ in range(51))])
async def test_ids_that_are_none_or_too_many(house: House, ids: str) -> None:
    answer = await house.call("GET", f"/tickets/live?ids={ids}")
    assert (answer.status, answer.fields) == (422, ["ids"])


async def test_a_head_takes_no_place(house: House) -> None:
    ticket = await house.listing(await house.person())
    assert (await house.call("HEAD", f"/tickets/{ticket['id']}/live")).status == 200
    assert not house.services.live.streams


async def test_stopping_waits_for_no_stream(open_house: OpenHouse) -> None:
    async with aiohttp.ClientSession() as session:
        async with open_house() as house:
            ticket = await house.listing(await house.person())
            response = await session.get(f"{house.url}/api/tickets/{ticket['id']}/live")
            await eventually(lambda: seen(len(house.services.live.streams) == 1))
            began = time.monotonic()
        assert time.monotonic() - began < SOON
        assert b"listings" in await response.content.read(), "it ends as a whole answer does"
