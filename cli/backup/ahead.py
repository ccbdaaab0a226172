"""What stands ahead of the log, or beside it, after an older log was restored; and taking it back.

What is here concerns the database; for Kafka see `streams/repair.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.sql import SQL, Identifier

from projections.models import MODELS

_RELAY = "SELECT position, cluster, trouble FROM relay_state"
_END = "SELECT COALESCE(max(notification_id), 0) FROM stored_events"
_NEWEST = (
    "SELECT GREATEST((SELECT max(position) FROM checkpoints), (SELECT max(position) FROM parked_events),"
    " (SELECT position FROM relay_state), (SELECT max((state->>1)::bigint) FROM relay_state,"
    " jsonb_each(partitions) AS topic (name, states), jsonb_array_elements(topic.states) AS state))"
)
_BEHIND_THE_END = SQL("SELECT count(*) FROM {} WHERE position > %s")
_ROWS = SQL(
    "SELECT count(*) FROM {} AS r WHERE NOT EXISTS"
    " (SELECT FROM stored_events WHERE originator_id = r.id AND originator_version = r.version)"
)
_NO_EVENT = (
    " FROM stored_snapshots AS s WHERE NOT EXISTS (SELECT FROM stored_events AS e"
    " WHERE e.originator_id = s.originator_id AND e.originator_version = s.originator_version)"
)


@dataclass(frozen=True, slots=True)
class Store:
    """What the database says."""

    log_end: int
    """Position of the last event; 0 for an empty log."""
    relay_position: int
    cluster: str | None
    """The Kafka cluster the relay publishes to; None before the first event."""
    trouble: str | None
    """Why the relay stands still, as it wrote down itself."""
    newest: int
    """The highest position that relay, checkpoints and parked events know of."""
    ahead: dict[str, int]
    """By kind, how many that are of events the log does not have; no zeros."""


def look_at_store(connection: psycopg.Connection[Any]) -> Store:
    """Compares relay, checkpoints, read models and snapshots with the log; a second for some million rows.

    Args:
        connection: in autocommit mode.
    """
    with connection.transaction():
        # One moment: relay and worker may be at work.
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        position, cluster, trouble = _row(connection, _RELAY)
        end: int = _row(connection, _END)[0]
        ahead = {f"rows of {model}": _row(connection, _ROWS.format(Identifier(model)))[0] for model in MODELS}
        for kind, table in (("checkpoints", "checkpoints"), ("parked events", "parked_events")):
            ahead[kind] = _row(connection, _BEHIND_THE_END.format(Identifier(table)), end)[0]
        ahead["snapshots"] = _row(connection, "SELECT count(*)" + _NO_EVENT)[0]
        newest = _row(connection, _NEWEST)[0] or 0
    return Store(end, position, cluster, trouble, newest, {kind: count for kind, count in ahead.items() if count})


def reset(connection: psycopg.Connection[Any], *, relay: bool) -> None:
    """Takes back what was written down about the log: checkpoints, parked events and snapshots without an event. The
    read models are to be rebuilt right after this.

    Args:
        relay: also how far the log was published; the topics must be empty then.
    """
    with connection.transaction():
        if relay:
            # The cluster stays: on the built-in broker it is another one after a restart, and the relay begins with
            # what that can keep.
            connection.execute("UPDATE relay_state SET position = 0, partitions = '{}', trouble = NULL")
        connection.execute("DELETE FROM checkpoints")
        connection.execute("DELETE FROM parked_events")
        connection.execute("DELETE" + _NO_EVENT)


def _row(connection: psycopg.Connection[Any], query: Any, *parameters: Any) -> Any:
    row = connection.execute(query, parameters or None).fetchone()
    assert row is not None, "an aggregate has one row"
    return row
