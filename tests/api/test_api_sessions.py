"""Ended sessions: what this process knows of them, and for how long."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from api import sessions
from api.sessions import EndedSessions

LIFETIME = timedelta(minutes=10)


class Rows:
    """The `sessions` table, as far as it is asked here."""

    def __init__(self) -> None:
        self.ended: list[tuple[UUID, datetime]] = []
        self.asked: list[datetime] = []

    async def ended_since(self, moment: datetime, limit: int) -> list[tuple[UUID, datetime]]:
        self.asked.append(moment)
        return sorted((row for row in self.ended if row[1] > moment), key=lambda row: row[1])[:limit]


@pytest.fixture
def rows() -> Rows:
    return Rows()


@pytest.fixture
def ended(rows: Rows) -> EndedSessions:
    return EndedSessions(rows, LIFETIME, others=False)  # type: ignore[arg-type]


async def test_a_row_that_was_committed_late_is_seen(rows: Rows, ended: EndedSessions) -> None:
    now = datetime.now(UTC)
    early, late = uuid4(), uuid4()
    rows.ended = [(early, now)]
    await ended.poll()
    rows.ended.append((late, now - timedelta(seconds=10)))  # its transaction took that long
    await ended.poll()
    assert early in ended
    assert late in ended


async def test_more_than_a_page_ended_at_once(
    rows: Rows, ended: EndedSessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "PAGE", 10)
    now = datetime.now(UTC)
    rows.ended = [(uuid4(), now + timedelta(milliseconds=number)) for number in range(35)]
    await ended.poll()
    assert all(session_id in ended for session_id, _ in rows.ended)


@pytest.mark.parametrize("skew_minutes", [-5, 0, 5])
async def test_a_session_stays_ended_as_long_as_a_token_of_it_may_live(
    rows: Rows, ended: EndedSessions, monkeypatch: pytest.MonkeyPatch, skew_minutes: int
) -> None:
    """Whatever the database's clock says: a revoked token must not come to life again."""
    clock = 1_000.0
    monkeypatch.setattr(sessions, "monotonic", lambda: clock)
    database_now = datetime.now(UTC) + timedelta(minutes=skew_minutes)
    session_id = uuid4()
    rows.ended = [(session_id, database_now)]
    await ended.poll()
    rows.ended = [(uuid4(), database_now + timedelta(minutes=5))]
    clock += LIFETIME.total_seconds()
    await ended.poll()
    assert session_id in ended
    clock += 60.0
    await ended.poll()
    assert session_id not in ended


async def test_a_new_process_knows_what_ended_before_it_started(rows: Rows, ended: EndedSessions) -> None:
    session_id = uuid4()
    rows.ended = [(session_id, datetime.now(UTC) - LIFETIME)]
    await ended.poll()
    assert session_id in ended
