"""The commands in this process, on a fresh database of the session's server, and what brokers the story needs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from cli.main import run
from domain.order import Charge
from tests.adapters.test_event_store import ask, open_house
from tests.domain.scenes import INTENT
from tests.streams.conftest import apache, apache_address, make_builtin, part, started

__all__ = ["apache", "apache_address", "make_builtin", "part", "started"]


@dataclass
class Said:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


Stagedoor = Callable[..., Said]


@pytest.fixture
def stagedoor(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Stagedoor:
    """Runs one command line. A traceback fails the test."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("STAGEDOOR_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr("cli.verify.CATCH_UP_SECONDS", 0.0)  # mostly there is nobody who would catch up
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)

    def call(*arguments: object) -> Said:
        code: object
        try:
            code = run([str(argument) for argument in arguments])
        except SystemExit as exit_:
            code = exit_.code
        written = capsys.readouterr()
        assert isinstance(code, int)
        return Said(code, written.out, written.err)

    return call


def sell(database_url: str, orders: int) -> None:
    """So many orders of a new listing, every second one paid."""

    async def trade() -> None:
        async with open_house(database_url) as house:
            ticket_id = await house.listed(quantity=orders)
            for number in range(orders):
                order = await house.order(ticket_id)
                if number % 2:
                    intent = f"{INTENT}_{order.id}"
                    await house.marketplace.await_payment(order.id, intent, ask())
                    await house.marketplace.take_charge(order.id, Charge(intent, f"ch_{order.id}", order.total), ask())

    asyncio.run(trade())


@pytest.fixture
def sold(database_url: str) -> str:
    """A database with some orders in it; its URL."""
    sell(database_url, 6)
    return database_url
