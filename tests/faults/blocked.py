"""Who stands in front of a lock in the database: how a test catches a process in the middle of something."""

from __future__ import annotations

from tests.streams.parts import rows

_WAITING = " FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE %s"


def is_blocked(database_url: str, statement: str) -> bool:
    """Whether somebody waits for a lock with a statement like this (`LIKE`)."""
    return bool(rows(database_url, "SELECT count(*)" + _WAITING, statement)[0][0])


def end_blocked(database_url: str, statement: str) -> None:
    """Ends the server's side of it: what it had begun is rolled back, as when the client's whole machine is gone."""
    ended = rows(database_url, "SELECT pg_terminate_backend(pid, 5000)" + _WAITING, statement)
    assert set(ended) == {(True,)}
