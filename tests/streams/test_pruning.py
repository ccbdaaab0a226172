"""What is past its time is deleted, in small bites; what is not, stays."""

from __future__ import annotations

import pytest
from psycopg_pool import AsyncConnectionPool

from streams import pruning
from streams.pruning import Pruning
from tests.streams.parts import rows

OLD, YOUNG = "25 hours", "23 hours"


async def test_only_what_is_old_goes(pool: AsyncConnectionPool, database_url: str) -> None:
    for age in (OLD, YOUNG):
        rows(
            database_url,
            "INSERT INTO outcomes SELECT gen_random_uuid(), 'k', '', '', now() - %s::interval"
            " FROM generate_series(1, 3)",
            age,
        )
        for ended, expires in ((age, "-30 days"), (None, age), (None, "-1 hour")):
            rows(
                database_url,
                "INSERT INTO sessions SELECT gen_random_uuid(), gen_random_uuid(), '', now(),"
                " now() - %s::interval, now() - %s::interval",
                expires, ended,
            )  # fmt: skip
        rows(
            database_url,
            "INSERT INTO reaction_attempts VALUES (gen_random_uuid(), 'move_money', 1, now() - %s::interval, 'e', 1)",
            age,
        )
    for number, left in enumerate(("-1 minute", "1 minute")):
        rows(
            database_url,
            "INSERT INTO links VALUES (%s, gen_random_uuid(), 'verify_email', now() + %s::interval)",
            bytes([number]), left,
        )  # fmt: skip
    await Pruning(pool).tick()
    assert rows(database_url, "SELECT count(*) FROM links WHERE expires_at > now()") == [(1,)]
    assert rows(database_url, "SELECT count(*) FROM links") == [(1,)]
    assert rows(database_url, "SELECT count(*) FROM outcomes") == [(3,)]
    assert rows(database_url, "SELECT count(*) FROM reaction_attempts") == [(1,)]
    # Of six, one ended and one expired long enough ago.
    assert rows(database_url, "SELECT count(*) FROM sessions") == [(4,)]


async def test_much_goes_in_small_bites_and_never_all_at_once(
    pool: AsyncConnectionPool, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "ROWS", 10)
    monkeypatch.setattr(pruning, "MAX_STATEMENTS", 3)
    rows(
        database_url,
        "INSERT INTO outcomes SELECT gen_random_uuid(), 'k', '', '', now() - interval '2 days'"
        " FROM generate_series(1, 45)",
    )
    left = []
    for _ in range(3):
        await Pruning(pool).tick()
        left.append(rows(database_url, "SELECT count(*) FROM outcomes")[0][0])
    assert left == [15, 0, 0]
