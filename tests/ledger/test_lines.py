"""Lines beside rows: each exactly once, whatever is delivered again, whoever writes too, and whenever it is rebuilt."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from psycopg_pool import AsyncConnectionPool

from adapters.event_log import EventLog
from domain.published import PublishedEvent
from projections import rebuild as module
from projections.buyer_orders import BUYER_ORDERS
from projections.parked import ParkedEvents
from projections.projection import fold
from projections.rebuild import rebuild
from projections.rebuild_compare import Comparison
from projections.rebuild_compare_lines import LineComparison, LineCounts
from projections.writer import Parked, Writer
from streams.delivery import read_entry
from streams.project import Projector
from tests.ledger.stored import ask, do, expected_lines, stored_lines


async def deliver(writer: Writer, events: Sequence[PublishedEvent]) -> None:
    """A batch as the worker applies it: a look at the rows, the changes, one transaction."""
    ids = {event.subject for event in events}
    known = (await writer.look(ids, [0])).versions
    changes = [fold(BUYER_ORDERS, known.get(i, 0), [event for event in events if event.subject == i]) for i in ids]
    await writer.write([change for change in changes if change], [], {0: events[-1].position})


async def test_lines_come_once_although_events_come_again(
    log: list[PublishedEvent], pool: AsyncConnectionPool, database_url: str
) -> None:
    writer = Writer(pool, BUYER_ORDERS)
    for start in range(0, len(log), 29):
        await deliver(writer, log[max(0, start - 40) : start + 29])
        assert stored_lines(database_url) == expected_lines(log[: start + 29])
    await deliver(writer, log)
    assert stored_lines(database_url) == expected_lines(log) != []


async def test_lines_come_once_from_two_writers_at_once(
    log: list[PublishedEvent], pool: AsyncConnectionPool, database_url: str
) -> None:
    """Both fold the same events from what they last saw, in other batches, and neither waits for the other."""

    async def work(size: int) -> None:
        writer = Writer(pool, BUYER_ORDERS)
        for start in range(0, len(log), size):
            await deliver(writer, log[: start + size])

    await asyncio.gather(work(17), work(31), work(53))
    assert stored_lines(database_url) == expected_lines(log)


async def test_a_writer_that_saw_an_old_row_adds_no_line_twice(
    log: list[PublishedEvent], pool: AsyncConnectionPool, database_url: str
) -> None:
    """The other one wrote between its look and its transaction."""
    writer = Writer(pool, BUYER_ORDERS)
    order = next(event.subject for event in log if event.type == "TransferCreated")
    theirs = [event for event in log if event.subject == order]
    first, rest = theirs[:2], theirs[2:]
    await deliver(writer, first)
    late = fold(BUYER_ORDERS, 2, rest[:3])
    assert late is not None
    await deliver(writer, theirs)
    await writer.write([late], [], {})
    assert stored_lines(database_url) == expected_lines(theirs)


@pytest.mark.parametrize("part", [0.0, 0.3, 0.7, 1.0])
async def test_a_rebuild_at_any_position_makes_the_same_lines(
    log: list[PublishedEvent],
    pool: AsyncConnectionPool,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    part: float,
) -> None:
    """The worker had come to there; afterwards it goes on from where it was, over events that are in the new table."""
    monkeypatch.setattr(module, "CHUNK", 50)  # most orders live over several chunks
    writer = Writer(pool, BUYER_ORDERS)
    at = int(len(log) * part)
    if at:
        await deliver(writer, log[:at])
    rebuilt = await rebuild(pool, EventLog(pool), [BUYER_ORDERS])
    assert stored_lines(database_url) == expected_lines(log)
    assert differences(rebuilt.compared[0]) == (0, 0, 0)
    for start in range(max(0, at - 20), len(log), 40):
        await deliver(writer, log[start : start + 40])
    assert stored_lines(database_url) == expected_lines(log)


async def test_rebuilds_while_the_worker_writes(
    log: list[PublishedEvent], pool: AsyncConnectionPool, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", 50)
    done = asyncio.Event()
    projector = Projector(BUYER_ORDERS, pool)

    async def work() -> None:
        for start in range(0, len(log), 10):
            batch = log[start : start + 10]
            await projector.handle([read_entry(event) for event in batch])
        done.set()

    async def build() -> None:
        while not done.is_set():
            rebuilt = await rebuild(pool, EventLog(pool), [BUYER_ORDERS])
            assert differences(rebuilt.compared[0]) == (0, 0, 0)

    await asyncio.gather(work(), build())
    assert stored_lines(database_url) == expected_lines(log)


async def test_a_gap_is_filled_with_its_lines(
    log: list[PublishedEvent], pool: AsyncConnectionPool, database_url: str
) -> None:
    order = next(event.subject for event in log if event.type == "TransferCreated")
    theirs = [event for event in log if event.subject == order]
    await Projector(BUYER_ORDERS, pool).apply([read_entry(theirs[0])])
    await Projector(BUYER_ORDERS, pool).apply([read_entry(theirs[-1])])
    assert stored_lines(database_url) == expected_lines(theirs)


async def test_what_was_parked_comes_with_its_lines(
    log: list[PublishedEvent], pool: AsyncConnectionPool, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("projections.parked.HISTORY_CHUNK", 2)
    order = next(event.subject for event in log if event.type == "TransferCreated")
    theirs = [event for event in log if event.subject == order]
    parked = [Parked(0, n, order, event.sequence, event.position, b"", "why") for n, event in enumerate(theirs)]
    await Writer(pool, BUYER_ORDERS).write([], parked, {})
    (retried,) = await ParkedEvents(pool, EventLog(pool)).retry([("buyer_orders", order)])
    assert (retried.version, retried.left) == (len(theirs), 0)
    assert stored_lines(database_url) == expected_lines(theirs)


def differences(comparison: Comparison) -> tuple[int, int, int]:
    assert comparison.lines is not None
    counts = comparison.lines.counts
    return counts.different, counts.new, counts.gone


async def dry_run(pool: AsyncConnectionPool) -> LineComparison:
    rebuilt = await rebuild(pool, EventLog(pool), [BUYER_ORDERS], dry_run=True)
    (comparison,) = rebuilt.compared
    assert comparison.differences == 0, "of rows"
    assert comparison.lines is not None
    return comparison.lines


async def test_a_rebuild_counts_lines_that_differ_and_names_their_orders(
    log: list[PublishedEvent], pool: AsyncConnectionPool, database_url: str
) -> None:
    await rebuild(pool, EventLog(pool), [BUYER_ORDERS])
    lines = stored_lines(database_url)
    orders = sorted({line[0] for line in lines})
    changed, taken, forged = orders[3], orders[5], orders[8]
    do(database_url, "UPDATE ledger SET amount = amount + 1 WHERE order_id = %s AND line = 1 AND sequence = 3", changed)
    fewer = do(database_url, "DELETE FROM ledger WHERE order_id = %s", taken)
    columns = "order_id, sequence, line, position, at, type, account, amount, currency"
    do(database_url, f"INSERT INTO ledger ({columns}) VALUES (%s, 1, 9, 1, now(), 'x', 'house', 5, 'EUR')", forged)
    found = await dry_run(pool)
    assert found.examples == (
        LineCounts(changed, lines_of(lines, changed) - 1, 1, 0, 0),
        LineCounts(taken, 0, 0, fewer, 0),
        LineCounts(forged, lines_of(lines, forged), 0, 0, 1),
    )
    assert found.counts == LineCounts(None, len(lines) - fewer - 1, 1, fewer, 1)
    await rebuild(pool, EventLog(pool), [BUYER_ORDERS])
    assert stored_lines(database_url) == lines


def lines_of(lines: Sequence[tuple[Any, ...]], order: Any) -> int:
    return sum(line[0] == order for line in lines)


async def test_lines_of_no_order_are_gone(
    log: list[PublishedEvent], pool: AsyncConnectionPool, database_url: str
) -> None:
    await rebuild(pool, EventLog(pool), [BUYER_ORDERS])
    columns = "order_id, sequence, line, position, at, type, account, amount, currency"
    values = "gen_random_uuid(), 1, 1, 1, now(), 'x', 'house', 5, 'EUR'"
    do(database_url, f"INSERT INTO ledger ({columns}) VALUES ({values})")
    assert (await dry_run(pool)).counts.gone == 1


async def test_a_database_of_an_earlier_version_gets_its_lines_by_a_rebuild(
    log: list[PublishedEvent], pool: AsyncConnectionPool, database_url: str
) -> None:
    """Its rows stand at the log's end, and its ledger is empty."""
    await rebuild(pool, EventLog(pool), [BUYER_ORDERS])
    do(database_url, "TRUNCATE ledger")
    rebuilt = await rebuild(pool, EventLog(pool), [BUYER_ORDERS])
    assert differences(rebuilt.compared[0]) == (0, len(expected_lines(log)), 0)
    assert stored_lines(database_url) == expected_lines(log)


async def test_a_rebuilt_ledger_is_the_same_table(
    log: list[PublishedEvent], pool: AsyncConnectionPool, database_url: str
) -> None:
    described = (
        "SELECT indexdef FROM pg_indexes WHERE tablename = 'ledger' UNION ALL"
        " SELECT concat(column_name, data_type, is_nullable) FROM information_schema.columns"
        " WHERE table_name = 'ledger'"
        " UNION ALL SELECT concat(reloptions, relnamespace::regnamespace) FROM pg_class WHERE relname = 'ledger'"
        " ORDER BY 1"
    )
    before = ask(database_url, described)
    assert len(before) > 4 + 14
    await rebuild(pool, EventLog(pool), [BUYER_ORDERS])
    assert ask(database_url, described) == before
    assert ask(database_url, "SELECT 1 FROM pg_class WHERE relnamespace = 'rebuild'::regnamespace") == []
