"""What a database holds, in figures: written down with a backup, compared after a restore."""

from __future__ import annotations

from typing import Any

import msgspec
import psycopg
from psycopg.sql import SQL, Identifier

_MIGRATED = "SELECT to_regclass('migrations') IS NOT NULL AND to_regclass('relay_state') IS NOT NULL"
_TABLES = (
    "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'"
    ' ORDER BY relname COLLATE "C"'
)
_LOG_END = "SELECT COALESCE(max(notification_id), 0) FROM stored_events"
_SECTIONS = "SELECT number, last_position, events, encode(hash, 'hex') FROM log_sections ORDER BY number"


class Section(msgspec.Struct, frozen=True):
    """A closed section of the log, see `adapters/log_sections.py`."""

    number: int
    last_position: int
    events: int
    hash: str
    """SHA-256, in hexadecimal."""


class Figures(msgspec.Struct, frozen=True):
    """One moment of a database."""

    migrations: list[str]
    log_end: int
    """The position of the last event; 0 for an empty log."""
    events: int
    relay_position: int
    """How far the log was published."""
    kafka_cluster: str | None
    """The id of the cluster it was published to; None before the first event."""
    sections: list[Section]
    rows: dict[str, int]
    """By table."""


def is_marketplace(connection: psycopg.Connection[Any]) -> bool:
    """Whether `stagedoor migrate` was ever here."""
    return bool(_one(connection, _MIGRATED))


def read_figures(connection: psycopg.Connection[Any]) -> Figures:
    """The figures as the connection's transaction sees them; a second for some million rows.

    Raises:
        psycopg.Error: the database refused, or is no marketplace's.
    """
    tables = [row[0] for row in connection.execute(_TABLES)]
    rows = {table: _one(connection, SQL("SELECT count(*) FROM {}").format(Identifier(table))) for table in tables}
    relay = connection.execute("SELECT position, cluster FROM relay_state").fetchone()
    assert relay is not None, "the migration makes the row"
    sections = connection.execute(_SECTIONS).fetchall() if "log_sections" in tables else []
    return Figures(
        migrations=[row[0] for row in connection.execute("SELECT name FROM migrations ORDER BY name")],
        log_end=_one(connection, _LOG_END),
        events=rows["stored_events"],
        relay_position=relay[0],
        kafka_cluster=relay[1],
        sections=[Section(*section) for section in sections],
        rows=rows,
    )


def differences(before: Figures, now: Figures) -> list[str]:
    """What is not as it was, in words."""
    told = [f"{name} is {found!r}, not {expected!r}" for name, expected, found in _compared(before, now)]
    if before.sections != now.sections:
        told.append("the hashes of the log's closed sections are others")
    return told


def _compared(before: Figures, now: Figures) -> list[tuple[str, object, object]]:
    pairs: list[tuple[str, object, object]] = [
        (name, getattr(before, name), getattr(now, name))
        for name in ("migrations", "log_end", "relay_position", "kafka_cluster")
    ]
    pairs += [
        (f"the number of rows in {table}", before.rows.get(table, 0), now.rows.get(table, 0))
        for table in sorted(before.rows.keys() | now.rows.keys())
    ]
    return [pair for pair in pairs if pair[1] != pair[2]]


def _one(connection: psycopg.Connection[Any], query: Any) -> int:
    row = connection.execute(query).fetchone()
    assert row is not None, "an aggregate has one row"
    return int(row[0])
