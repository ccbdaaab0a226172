"""The sequence that gives events their positions in the log."""

from __future__ import annotations

from typing import Any

import psycopg

from adapters.database import APPEND_LOCK

_SEQUENCE = "stored_events_notification_id_seq"
_LAST = f"SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {_SEQUENCE}"  # noqa: S608 - a constant


def last_position(connection: psycopg.Connection[Any]) -> int:
    """The last position given out, whether the event is in the log or not; 0 for none."""
    row = connection.execute(_LAST.encode()).fetchone()
    assert row is not None, "a sequence has one row"
    return int(row[0])


def advance_positions(connection: psycopg.Connection[Any], beyond: int) -> int:
    """Makes the next event stand behind position `beyond`; never goes back. Returns its position at the least.

    Args:
        connection: in autocommit mode; who appends to the log waits for it a moment.
    """
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (APPEND_LOCK,))
        last = last_position(connection)
        if beyond > last:
            connection.execute("SELECT setval(%s, %s)", (_SEQUENCE, beyond))
        return max(beyond, last) + 1
