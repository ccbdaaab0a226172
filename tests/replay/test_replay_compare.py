"""What a rebuild says is different from the live tables, and what it does not."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from threading import Thread
from typing import Any

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool

from adapters.database import make_pool
from adapters.event_log import EventLog
from domain.published import PublishedEvent
from projections import rebuild_compare
from projections.buyer_orders import BUYER_ORDERS
from projections.projection import Projection, fold
from projections.rebuild import Rebuilt, rebuild
from projections.rebuild_compare import Comparison, Example
from projections.ticket_listing import TICKET_LISTING
from projections.user_status import USER_STATUS
from projections.writer import Writer
from tests.projections.stories import Story, append, assert_rows_are_the_fold, stored_rows
from tests.replay.halves import ALL, assert_nothing_is_left, do


@pytest.fixture
async def live(told: Story, pool: AsyncConnectionPool) -> Story:
    """Everything told so far is in the live tables."""
    await rebuild(pool, EventLog(pool), ALL)
    return told


async def compared(pool: AsyncConnectionPool, projection: Projection, **options: Any) -> Comparison:
    rebuilt = await rebuild(pool, EventLog(pool), [projection], **options)
    (comparison,) = rebuilt.compared
    assert comparison.model == projection.model
    return comparison


def counts(comparison: Comparison) -> dict[str, int]:
    names = ("equal", "different", "new", "gone", "moving")
    return {name: found for name in names if (found := getattr(comparison, name))}


async def test_equal_tables_are_equal(live: Story, pool: AsyncConnectionPool) -> None:
    rebuilt = await rebuild(pool, EventLog(pool), ALL)
    assert [counts(comparison) for comparison in rebuilt.compared] == [
        {"equal": len(aggregates)} for aggregates in (live.tickets, live.orders, live.users)
    ]
    assert all(not comparison.examples and not comparison.differences for comparison in rebuilt.compared)


TAMPERED = {
    "text": ("UPDATE buyer_orders SET status = 'lost' WHERE id = %s", ("status",)),
    "json": ("UPDATE buyer_orders SET items = '[]' WHERE id = %s", ("items",)),
    "something where nothing was": ("UPDATE buyer_orders SET payout_at = now() WHERE id = %s", ("payout_at",)),
    "two columns": ("UPDATE buyer_orders SET amount = 1, currency = 'XXX' WHERE id = %s", ("amount", "currency")),
    "a version that the log does not have": ("UPDATE buyer_orders SET version = 9999 WHERE id = %s", ("version",)),
}


@pytest.mark.parametrize("tampered", TAMPERED)
async def test_a_differing_row_is_named_with_its_columns(
    live: Story, pool: AsyncConnectionPool, database_url: str, tampered: str
) -> None:
    order = next(order for order in live.orders if order.payout_at is None and order.total.amount > 1)
    statement, columns = TAMPERED[tampered]
    do(database_url, statement, order.id)
    found = await compared(pool, BUYER_ORDERS)
    assert counts(found) == {"equal": len(live.orders) - 1, "different": 1}
    assert found.examples == (Example(order.id, "different", columns),)
    assert_rows_are_the_fold(database_url, await EventLog(pool).after(0, limit=100_000))


async def test_rows_that_are_new_and_gone(live: Story, pool: AsyncConnectionPool, database_url: str) -> None:
    do(database_url, "DELETE FROM user_status WHERE id = %s", live.users[0].id)
    do(database_url, "INSERT INTO user_status VALUES (gen_random_uuid(), 1, false, false, now(), now(), false)")
    found = await compared(pool, USER_STATUS)
    assert counts(found) == {"equal": len(live.users) - 1, "new": 1, "gone": 1}
    assert [example.kind for example in found.examples] == ["gone", "new"]
    assert found.examples[1].id == live.users[0].id


async def test_no_more_than_ten_examples(live: Story, pool: AsyncConnectionPool, database_url: str) -> None:
    do(database_url, "UPDATE buyer_orders SET buyer_id = id")
    found = await compared(pool, BUYER_ORDERS)
    assert counts(found) == {"different": len(live.orders)}
    assert len(found.examples) == 10


async def test_a_live_table_that_is_behind_does_not_differ(
    live: Story, pool: AsyncConnectionPool, database_url: str
) -> None:
    """It lacks what came since and shows older versions; a row it lost before that is missing all the same."""
    before = len(live.events)
    done = len(live.orders)
    live.tell(150)
    append(database_url, live.events[before:])
    assert len(live.orders) > done
    do(database_url, "DELETE FROM buyer_orders WHERE id = %s", live.orders[1].id)
    found = await compared(pool, BUYER_ORDERS)
    assert found.examples == (Example(live.orders[1].id, "new", ()),)
    assert (found.different, found.new, found.gone) == (0, 1, 0)
    assert found.equal + found.moving == len(live.orders) - 1
    assert found.moving >= len(live.orders) - done


async def test_a_live_table_that_is_far_behind_lacks_nothing(
    live: Story, pool: AsyncConnectionPool, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuild_compare, "MAX_LAG", 10)
    before = len(live.events)
    append(database_url, live.tell(50).events[before:])
    assert (await compared(pool, BUYER_ORDERS)).differences == 0


async def test_a_live_table_that_is_quicker_does_not_differ(
    live: Story, pool: AsyncConnectionPool, database_url: str
) -> None:
    """What the worker has applied since the rebuild read the log is no difference: neither a version nor a row more."""
    before = len(live.events)
    done = len(live.orders)

    def say(line: str) -> None:
        if "comparing" in line:
            live.tell(150)
            append(database_url, live.events[before:])
            worker = Thread(target=lambda: asyncio.run(apply(database_url, BUYER_ORDERS)))
            worker.start()
            worker.join()

    found = await compared(pool, BUYER_ORDERS, say=say, dry_run=True)
    assert len(live.orders) > done
    assert found.differences == 0
    assert found.moving >= len(live.orders) - done
    assert found.equal + found.moving == len(live.orders)


async def apply(database_url: str, projection: Projection) -> None:
    """As the worker does, with everything in the log."""
    async with make_pool(database_url, max_size=2) as pool:
        log = await EventLog(pool).after(0, limit=100_000)
        writer = Writer(pool, projection)
        runs: dict[Any, list[PublishedEvent]] = {}
        for event in log:
            if event.topic == projection.topic:
                runs.setdefault(event.subject, []).append(event)
        known = await writer.look(runs.keys(), [])
        changes = [fold(projection, known.versions.get(key, 0), run) for key, run in runs.items()]
        await writer.write([change for change in changes if change is not None], [], {0: log[-1].position})


async def test_a_dry_run_changes_nothing(live: Story, pool: AsyncConnectionPool, database_url: str) -> None:
    do(database_url, "UPDATE ticket_listing SET sold = sold + 1")
    before = stored_rows(database_url, TICKET_LISTING)
    rebuilt = await rebuild(pool, EventLog(pool), ALL, dry_run=True)
    assert [comparison.different for comparison in rebuilt.compared] == [len(live.tickets), 0, 0]
    assert stored_rows(database_url, TICKET_LISTING) == before
    assert_nothing_is_left(database_url)


async def test_what_cannot_be_compared_in_time_is_swapped_all_the_same(
    live: Story, pool: AsyncConnectionPool, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuild_compare, "TIMEOUT_MS", 500)
    do(database_url, "UPDATE user_status SET admin = NOT admin")
    with psycopg.connect(database_url) as keeper:
        rebuilt = await _with_a_locked_table(keeper, pool, [USER_STATUS, BUYER_ORDERS])
    assert [comparison.model for comparison in rebuilt.compared] == ["buyer_orders"]
    assert_rows_are_the_fold(database_url, await EventLog(pool).after(0, limit=100_000))


async def _with_a_locked_table(
    keeper: psycopg.Connection[Any], pool: AsyncConnectionPool, projections: Sequence[Projection]
) -> Rebuilt:
    """A rebuild whose comparison meets a table that somebody keeps for a second."""

    def say(line: str) -> None:
        if "comparing" in line:
            keeper.execute("LOCK TABLE user_status IN ACCESS EXCLUSIVE MODE")
            asyncio.get_running_loop().call_later(1.0, keeper.rollback)

    return await rebuild(pool, EventLog(pool), projections, say=say)
