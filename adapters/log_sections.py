"""Sections of the log: a closed one carries a hash over its events' hashes and the section before it.

Positions are given out under the lock of the log, so once there is an event behind a section nothing can be added to
it any more. What an event's own chain cannot tell (an aggregate's last events taken away, a whole chain computed anew)
changes the hash of its section and of every one after it. Hashes kept elsewhere (`stagedoor backup` writes them down)
hold them against somebody who may write everything here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import AsyncConnection

from adapters.event_chain import START

SECTION = 10_000
"""Positions in one; those of batches that were rolled back stay empty."""

MAX_SECTIONS = 100
"""Closed in one go, some milliseconds each."""

_LAST = (
    "SELECT COALESCE(max(number), 0), (SELECT hash FROM log_sections ORDER BY number DESC LIMIT 1),"
    " (SELECT COALESCE(max(notification_id), 0) FROM stored_events) FROM log_sections"
)
_HASH = (
    "SELECT count(*), sha256(%(previous)s || COALESCE(string_agg("
    "int8send(notification_id) || COALESCE(chain, ''::bytea), ''::bytea ORDER BY notification_id), ''::bytea))"
    " FROM stored_events WHERE notification_id > %(after)s AND notification_id <= %(last)s"
)
_CLOSE = "INSERT INTO log_sections (number, last_position, events, hash) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING"
_SECTIONS = "SELECT number, last_position, events, hash FROM log_sections ORDER BY number"


@dataclass(frozen=True, slots=True)
class Section:
    """A closed stretch of the log."""

    number: int
    last_position: int
    events: int
    hash: bytes


async def close_sections(connection: AsyncConnection[Any]) -> int:
    """Closes what can be closed, at most `MAX_SECTIONS`; returns how many. Two who do it at once write the same.

    Args:
        connection: in autocommit mode.
    """
    row = await (await connection.execute(_LAST)).fetchone()
    assert row is not None, "an aggregate has one row"
    number, previous, end = row[0], row[1] or START, row[2]
    closed = 0
    while closed < MAX_SECTIONS and (number + 1) * SECTION < end:
        last = (number + 1) * SECTION
        bounds = {"previous": previous, "after": last - SECTION, "last": last}
        found = await (await connection.execute(_HASH, bounds)).fetchone()
        assert found is not None, "an aggregate has one row"
        number, closed = number + 1, closed + 1
        events, previous = found
        await connection.execute(_CLOSE, (number, last, events, previous))
    return closed


def broken_sections(connection: psycopg.Connection[Any]) -> Iterator[tuple[Section, int]]:
    """The sections whose hash is not that of the events there are now, each with how many there are; the first one is
    where something happened, and is followed by none that only inherits its hash."""
    expected_number, after, previous = 1, 0, START
    for row in connection.execute(_SECTIONS).fetchall():
        section = Section(*row)
        bounds = {"previous": previous, "after": after, "last": section.last_position}
        found = connection.execute(_HASH, bounds).fetchone()
        assert found is not None, "an aggregate has one row"
        if section.number != expected_number or found[1] != section.hash:
            yield section, found[0]
        expected_number, after, previous = section.number + 1, section.last_position, section.hash
