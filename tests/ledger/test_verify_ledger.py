"""`stagedoor verify` knows the books."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from click.testing import CliRunner, Result
from psycopg_pool import AsyncConnectionPool

from adapters.event_log import EventLog
from cli.verification import books, checks
from cli.verification.checks import Verification
from cli.verification.rows import one_moment, read_everything
from cli.verify import verify
from domain.aggregate import Event
from domain.published import PublishedEvent
from projections.buyer_orders import BUYER_ORDERS
from projections.ledger import LEDGER, make_lines
from projections.models import MODELS
from projections.rebuild import rebuild
from projections.writer import Writer
from tests.ledger.lives import Life, published
from tests.ledger.stored import do
from tests.ledger.test_lines import deliver


@pytest.fixture
async def booked(log: list[PublishedEvent], pool: AsyncConnectionPool, database_url: str) -> str:
    await rebuild(pool, EventLog(pool), [BUYER_ORDERS])
    return database_url


def ledger_findings(database_url: str, reached: int = 10**9) -> list[str]:
    """What is said of the books; the tickets of these orders are not in the log, nor are hashes."""
    verification = Verification(dict.fromkeys(MODELS, reached))
    with pytest.MonkeyPatch.context() as patch, one_moment(database_url) as connection:
        patch.setattr(checks, "MAX_TOLD", 10**6)
        for found in read_everything(connection):
            verification.check(found)
    assert verification.lines > 0
    return [text for text in verification.differences if "ledger" in text or "come to" in text or "owes" in text]


def test_books_that_are_right(booked: str) -> None:
    assert ledger_findings(booked) == []


CHANGED = {
    "another amount in line 1": "UPDATE ledger SET amount = amount + 1 WHERE type = 'RefundCreated' AND line = 1",
    "another party in line": "UPDATE ledger SET party = gen_random_uuid() WHERE type = 'TransferCreated' AND line = 1",
    "misses line 2": "DELETE FROM ledger WHERE type = 'ChargeCreated' AND line = 2",
    "which no event made": "INSERT INTO ledger (order_id, sequence, line, position, at, type, account, amount,"
    " currency) SELECT id, 1, 1, 1, now(), 'x', 'house', 0, 'EUR' FROM buyer_orders LIMIT 1",
    "is in ledger, but not in the log": "INSERT INTO ledger (order_id, sequence, line, position, at, type, account,"
    " amount, currency) VALUES (gen_random_uuid(), 1, 1, 1, now(), 'x', 'house', 0, 'EUR')",
}


@pytest.mark.parametrize("said", CHANGED)
def test_every_changed_line_is_found(booked: str, said: str) -> None:
    changed = do(booked, CHANGED[said])
    findings = ledger_findings(booked)
    assert len(findings) == changed > 0
    assert all(said in text for text in findings)


async def test_lines_are_due_as_far_as_the_row_has_come(
    log: list[PublishedEvent], pool: AsyncConnectionPool, database_url: str
) -> None:
    half = log[: len(log) // 2]
    await deliver(Writer(pool, BUYER_ORDERS), half)
    assert ledger_findings(database_url, reached=half[-1].position) == []


def test_the_command_counts_the_lines(booked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.verify.CATCH_UP_SECONDS", 0.0)
    said: Result = CliRunner().invoke(verify, env={"DATABASE_URL": booked})
    assert "lines of the ledger; published up to" in said.output


def lives(seeds: range) -> list[Life]:
    return [Life(Random(seed)).tell(30) for seed in seeds]


def lines_of(events: list[Event]) -> list[Any]:
    return [line for event in published(events) for line in make_lines(event)]


def test_a_buyer_is_owed_what_is_to_go_back_and_nothing_else() -> None:
    caught = 0
    for life in lives(range(60)):
        lines = lines_of(list(life.order.collect_events()))
        assert list(books.imbalances(life.order, lines, undivided=False)) == []
        if any(refund.refund_id is None for refund in life.order.refunds):
            life.order.refunds = ()  # forgotten
            (said,) = books.imbalances(life.order, lines, undivided=False)
            assert "owes its buyer" in said
            caught += 1
    assert caught > 5


def test_an_event_that_does_not_come_to_zero_is_named() -> None:
    life = next(life for life in lives(range(60)) if life.order.charge_id)
    lines = lines_of(list(life.order.collect_events()))
    amount = 3 + list(LEDGER.columns).index("amount")
    lines[0] = (*lines[0][:amount], lines[0][amount] + 7, *lines[0][amount + 1 :])
    assert any("come to 7" in said for said in books.imbalances(life.order, lines, undivided=False))


def test_an_order_paid_under_an_earlier_version_keeps_its_charge() -> None:
    life = next(life for life in lives(range(60)) if life.order.shares and life.order.total.amount)
    lines = [line for line in lines_of(list(life.order.collect_events())) if line[5] != "OrderCompleted"]
    assert list(books.imbalances(life.order, lines, undivided=True)) == []
    assert list(books.imbalances(life.order, lines, undivided=False)) != []
