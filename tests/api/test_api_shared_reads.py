"""Reads that many share: one look for all who wait, and never one that was begun before it was asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from api.shared_reads import SharedReads


class Shelf:
    """What is looked at; each look waits until it is let go."""

    def __init__(self) -> None:
        self.looks: list[list[str]] = []
        self.values = {"a": 1, "b": 2}
        self.go = asyncio.Event()
        self.broken = False

    async def look(self, keys: Sequence[str]) -> dict[str, int]:
        self.looks.append(list(keys))
        seen = dict(self.values)
        await self.go.wait()
        if self.broken:
            raise OSError("away")
        return {key: seen[key] for key in keys if key in seen}


async def asked(reads: SharedReads[str, int], *keys: str) -> list[asyncio.Task[int | None]]:
    tasks = [asyncio.create_task(reads.read(key)) for key in keys]
    await asyncio.sleep(0.01)
    return tasks


async def test_who_asks_together_shares_one_look() -> None:
    shelf = Shelf()
    reads = SharedReads(shelf.look, at_once=1, keys_in_a_look=10)
    tasks = await asked(reads, "a", "b", "a", "nothing")
    shelf.go.set()
    assert await asyncio.gather(*tasks) == [1, 2, 1, None]
    assert shelf.looks == [["a", "b", "nothing"]]


async def test_whose_request_has_arrived_joins_the_look_and_another_look_does_not_ask_for_nothing() -> None:
    shelf = Shelf()
    reads = SharedReads(shelf.look, at_once=2, keys_in_a_look=10)
    first = asyncio.create_task(reads.read("a"))
    await asyncio.sleep(0)  # has asked
    second = asyncio.create_task(reads.read("b"))
    shelf.go.set()
    assert await asyncio.gather(first, second) == [1, 2]
    await asyncio.sleep(0)
    assert shelf.looks == [["a", "b"]]


async def test_who_asks_during_a_look_gets_the_next_one() -> None:
    shelf = Shelf()
    reads = SharedReads(shelf.look, at_once=1, keys_in_a_look=10)
    first = await asked(reads, "a")
    shelf.values["a"] = 7
    second = await asked(reads, "a", "a")
    shelf.go.set()
    assert await asyncio.gather(*first, *second) == [1, 7, 7]
    assert shelf.looks == [["a"], ["a"]]


async def test_a_look_takes_no_more_keys_and_no_more_run_together_than_is_said() -> None:
    shelf = Shelf()
    reads = SharedReads(shelf.look, at_once=2, keys_in_a_look=1)
    tasks = await asked(reads, "a", "b", "c")
    assert shelf.looks == [["a"], ["b"]]
    shelf.go.set()
    await asyncio.gather(*tasks)
    assert shelf.looks[2:] == [["c"]]


async def test_what_a_look_raises_everybody_who_shares_it_gets_and_the_next_one_goes_on() -> None:
    shelf = Shelf()
    reads = SharedReads(shelf.look, at_once=1, keys_in_a_look=10)
    tasks = await asked(reads, "a", "b")
    shelf.broken = True
    shelf.go.set()
    for task in tasks:
        with pytest.raises(OSError, match="away"):
            await task
    shelf.broken = False
    assert await reads.read("a") == 1


async def test_somebody_who_goes_away_does_not_take_the_answer_from_the_others() -> None:
    shelf = Shelf()
    reads = SharedReads(shelf.look, at_once=1, keys_in_a_look=10)
    gone, other = await asked(reads, "a", "a")
    gone.cancel()
    shelf.go.set()
    assert await other == 1


async def test_who_asks_in_the_moment_in_which_the_last_look_ends_is_answered() -> None:
    gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def look(keys: Sequence[str]) -> dict[str, int]:
        if not gate.done():
            gate.set_result(None)  # `late` goes on before anything that follows from the end of this look
        return dict.fromkeys(keys, 1)

    async def late() -> int | None:
        await gate
        return await reads.read("b")

    reads = SharedReads(look, at_once=1, keys_in_a_look=10)
    asked_late = asyncio.create_task(late())
    await asyncio.sleep(0)
    assert await reads.read("a") == 1
    assert await asyncio.wait_for(asked_late, 1) == 1
