"""A timer outlives what it does."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import psycopg
import pytest

from domain.ports import PaymentUnavailable
from streams.timer import Timer


def failing(error: Exception) -> Callable[[], Awaitable[None]]:
    async def fail() -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "level", "said"),
    [
        (psycopg.OperationalError("no route"), logging.WARNING, "sweeping is put off (OperationalError)"),
        (PaymentUnavailable("no route"), logging.WARNING, "sweeping is put off (PaymentUnavailable)"),
        (RuntimeError("a fault"), logging.ERROR, "sweeping failed; it is tried again in 2.5 s"),
    ],
)
async def test_a_tick_never_raises(error: Exception, level: int, said: str, caplog: pytest.LogCaptureFixture) -> None:
    await Timer("sweeping", 2.5, failing(error)).tick()
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [(level, said)]


async def test_it_does_what_it_is_for() -> None:
    done = []

    async def note() -> None:
        done.append(True)

    await Timer("noting", 1.0, note).tick()
    assert done == [True]
