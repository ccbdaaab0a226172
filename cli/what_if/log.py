"""The whole log in order, by a server-side cursor: memory holds some rows of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import psycopg

from cli.audit.steps import read_event
from domain.aggregate import Event

FETCH = 5_000
"""Rows fetched at a time; some megabytes."""

_LOG = "SELECT topic, state, notification_id FROM stored_events WHERE topic = ANY(%s) ORDER BY notification_id"


def read_log(connection: psycopg.Connection[Any], stored_names: Sequence[str]) -> Iterator[tuple[int, Event]]:
    """The events of these stored names with their positions.

    Raises:
        DamagedLogError: one cannot be read.
    """
    with connection.cursor(name="what_if_log") as cursor:
        cursor.itersize = FETCH
        for stored_name, state, position in cursor.execute(_LOG, (list(stored_names),)):
            yield position, read_event(stored_name, state, position)


def end_of(connection: psycopg.Connection[Any]) -> int:
    """The position of the last event; 0 for an empty log."""
    row = connection.execute("SELECT COALESCE(max(notification_id), 0) FROM stored_events").fetchone()
    assert row is not None
    return int(row[0])
