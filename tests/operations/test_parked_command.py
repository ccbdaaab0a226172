"""`stagedoor parked`: from the poison event to the read model that has it, as an operator goes."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID, uuid4

import msgspec
import pytest
from click.testing import Result
from psycopg_pool import AsyncConnectionPool

from cli import main
from cli.parked import parked
from projections.models import MODELS
from projections.writer import Parked, Writer
from tests.operations.conftest import Market
from tests.operations.poison import deliver, hide, mend

ORDERS = MODELS["buyer_orders"]
Run = Callable[..., Result]


@pytest.fixture
async def poisoned(market: Market, pool: AsyncConnectionPool) -> Market:
    """The second events of two orders cannot be read: they are parked."""
    for order_id in market.orders[:2]:
        hide(market.database_url, order_id, 2)
    await deliver(pool, ORDERS)
    return market


@pytest.fixture
async def foreign(market: Market, pool: AsyncConnectionPool) -> Market:
    """A message under no id, with what would command a terminal."""
    await Writer(pool, ORDERS).write(
        [], [Parked(3, 17, None, None, None, b"\x1b[2J\xff", "cannot be read: \x1b[1m")], {}
    )
    return market


def versions(market: Market) -> dict[UUID, int]:
    return dict(market.sql("SELECT id, version FROM buyer_orders"))


def test_nothing_is_parked(market: Market, run: Run) -> None:
    for arguments in (("list",), ("list", "--model", "buyer_orders"), ("retry",)):
        assert run(parked, *arguments).exit_code == 0
    assert run(parked, "list").output == "0 events of 0 aggregates are parked\n"
    assert msgspec.json.decode(run(parked, "list", "--json").stdout) == []


def test_list_has_a_line_for_each_aggregate(poisoned: Market, run: Run) -> None:
    result = run(parked, "list")
    assert result.exit_code == 0
    *lines, total = result.output.splitlines()
    assert total == "2 events of 2 aggregates are parked"
    assert {line.split(":")[0] for line in lines} == {f"buyer_orders {order_id}" for order_id in poisoned.orders[:2]}
    assert all("1 parked from event 2 on" in line and "cannot be read" in line for line in lines)
    assert run(parked, "list", "--model", "user_status").output == "0 events of 0 aggregates are parked\n"
    found = msgspec.json.decode(run(parked, "list", "--json").stdout)
    assert {one["aggregate_id"] for one in found} == {str(order_id) for order_id in poisoned.orders[:2]}


def test_show_has_the_error_and_the_content(poisoned: Market, run: Run) -> None:
    result = run(parked, "show", "buyer_orders", str(poisoned.orders[0]))
    assert result.exit_code == 0
    assert result.output.startswith("event 2, position ")
    told = result.output.splitlines()[1]
    assert told.startswith("  cannot be read: ")
    assert "stagedoor.Order.FromTheFuture" in told, "what the log has, and not how it was wrapped"
    assert "stagedoor.Order.FromTheFuture" in result.output
    assert f'"id": "{poisoned.orders[0]}/2"' in result.output


def test_what_a_stranger_sent_commands_no_terminal(foreign: Market, run: Run) -> None:
    for arguments in (("list",), ("show", "buyer_orders", "none")):
        result = run(parked, *arguments)
        assert result.exit_code == 0
        assert "\x1b" not in result.output
        assert "\\x1b" in result.output
    assert "stagedoor.orders/3 offset 17" in run(parked, "show", "buyer_orders", "none").output


def test_retry_applies_what_can_be_applied_and_tells_what_cannot(poisoned: Market, run: Run) -> None:
    mended, still, _ = poisoned.orders
    mend(poisoned.database_url, mended, 2)
    result = run(parked, "retry")
    assert result.exit_code == 1
    assert f"buyer_orders {mended}: 1 parked events are in the row, which is at version 2" in result.stdout
    assert f"buyer_orders {still}: 1 still parked: cannot be read" in result.stderr
    assert result.stdout.endswith("1 aggregates are parked no more, 1 still are\n")
    assert versions(poisoned) == {mended: 2, still: 1, poisoned.orders[2]: 2}
    mend(poisoned.database_url, still, 2)
    assert run(parked, "retry", "buyer_orders", str(still)).exit_code == 0
    assert set(versions(poisoned).values()) == {2}
    assert run(parked, "list").output == "0 events of 0 aggregates are parked\n"


def test_retry_of_a_read_model_leaves_the_others(poisoned: Market, run: Run) -> None:
    for order_id in poisoned.orders[:2]:
        mend(poisoned.database_url, order_id, 2)
    assert run(parked, "retry", "user_status").exit_code == 0
    assert sorted(versions(poisoned).values()) == [1, 1, 2]
    assert run(parked, "retry", "buyer_orders").exit_code == 0
    assert set(versions(poisoned).values()) == {2}


def test_drop_asks_for_yes_and_says_what_it_leaves(poisoned: Market, foreign: Market, run: Run) -> None:
    order_id = str(poisoned.orders[0])
    assert run(parked, "drop", "buyer_orders", order_id).exit_code == 2
    assert len(poisoned.sql("SELECT 1 FROM parked_events")) == 3
    result = run(parked, "drop", "buyer_orders", order_id, "--yes")
    assert (result.exit_code, result.stdout) == (0, f"buyer_orders {order_id}: 1 parked events were taken away\n")
    assert "the row stays at version 1" in result.stderr
    result = run(parked, "drop", "buyer_orders", "none", "--yes")
    assert (result.exit_code, result.stderr) == (0, "")
    assert poisoned.sql("SELECT aggregate_id FROM parked_events") == [(poisoned.orders[1],)]


def test_the_help_says_what_dropping_means(run: Run) -> None:
    said = " ".join(run(parked, "drop", "--help").output.split())
    assert "skips no event of the log" in said
    assert "nothing is marked as seen" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("list", "--model", "byer_orders"), "there is no read model 'byer_orders'"),
        (("retry", "byer_orders"), "there is no read model 'byer_orders'"),
        (("show", "buyer_orders", "17"), "'17' is neither an id nor 'none'"),
        (("show", "buyer_orders", str(uuid4())), "nothing is parked of buyer_orders"),
        (("retry", "buyer_orders", str(uuid4())), "nothing is parked of buyer_orders"),
        (("drop", "buyer_orders", "none", "--yes"), "nothing is parked of buyer_orders none"),
        (("drop", "buyer_orders", "none"), "say --yes"),
    ],
)
def test_wrong_use_is_one_line(
    market: Market,
    arguments: tuple[str, ...],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DATABASE_URL", market.database_url)
    assert main.run(["parked", *arguments]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert said in told
