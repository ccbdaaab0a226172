"""Folds the whole log and compares everything with it, in one snapshot of the database.

The log is read in the order of aggregates, not of time: so one aggregate at a time is in memory, however long the log
is, and read models and snapshots are read beside it in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any
from uuid import UUID

from psycopg import Connection

from cli.verify_books import Books
from cli.verify_findings import Findings
from cli.verify_fold import Fold
from cli.verify_rows import Rows
from projections.models import MODELS
from projections.positions import PROGRESS_QUERY, Progress, progress_of

FETCH = 5_000
"""Events in memory at a time."""

REPORT_EVERY = 2_000

_EVENTS = (
    "SELECT originator_id, originator_version, topic, state, notification_id FROM stored_events"
    " ORDER BY originator_id, originator_version"
)
_SNAPSHOTS = (
    "SELECT originator_id, originator_version, topic, state FROM stored_snapshots"
    " ORDER BY originator_id, originator_version"
)


def verify_log(connection: Connection[Any], progress: Callable[[int, int], None]) -> Findings:
    """Verifies everything there is.

    Args:
        connection: of the database, without statement timeout.
        progress: told now and then how many events are done, of how many.

    Raises:
        psycopg.OperationalError: the database is away.
    """
    findings = Findings()
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        reached = progress_of(connection.execute(PROGRESS_QUERY, binary=True).fetchall())
        total, end = _one(connection, "SELECT count(*), COALESCE(max(notification_id), 0) FROM stored_events")
        parked = _parked(connection, findings)
        _look_at_relay(reached, end, findings)
        books = Books()
        models = {projection.topic: Rows(connection, projection, findings) for projection in MODELS.values()}
        applied = {projection.topic: reached.model(model).position for model, projection in MODELS.items()}
        snapshots = _Snapshots(connection, findings)
        for aggregate_id, events in groupby(_read(connection, "events", _EVENTS), key=itemgetter(0)):
            fold = Fold(aggregate_id, snapshots.of(aggregate_id), findings)
            for _, version, name, state, position in events:
                fold.take(name, state, version, position, models)
                findings.events += 1
                if findings.events % REPORT_EVERY == 0:
                    progress(findings.events, total)
            fold.finish(applied.get(fold.topic, 0), (fold.topic, aggregate_id) in parked, books)
        progress(findings.events, total)
        for rows in models.values():
            rows.finish()
        snapshots.finish()
    books.close(findings)
    return findings


class _Snapshots:
    """The stored snapshots beside the log: asked for ids in ascending order."""

    def __init__(self, connection: Connection[Any], findings: Findings) -> None:
        self._findings = findings
        self._rows = _read(connection, "snapshots", _SNAPSHOTS)
        self._next = next(self._rows, None)

    def of(self, aggregate_id: UUID) -> dict[int, tuple[str, bytes]]:
        """Name and state of each of one aggregate's snapshots, by version."""
        found: dict[int, tuple[str, bytes]] = {}
        while self._next is not None and self._next[0] <= aggregate_id:
            owner, version, name, state = self._next
            if owner == aggregate_id:
                found[version] = (name, state)
            else:
                self._findings.add(f"aggregate {owner} has a snapshot and no events")
            self._next = next(self._rows, None)
        return found

    def finish(self) -> None:
        """Takes down the snapshots that are left."""
        while self._next is not None:
            self._findings.add(f"aggregate {self._next[0]} has a snapshot and no events")
            self._next = next(self._rows, None)


def _look_at_relay(reached: Progress, end: int, findings: Findings) -> None:
    relay = reached.relay
    if relay.trouble is not None:
        findings.add(f"the relay publishes nothing: {relay.trouble}")
    if relay.position > end:
        findings.add(f"the log ends at position {end}, but was published up to {relay.position}")
    elif relay.position < end:
        findings.notes.append(f"the relay is at position {relay.position} of {end}")
    for model in MODELS:
        position = reached.model(model).position
        if min(position, end) < end:
            findings.notes.append(f"{model} lags: complete up to position {position} of {end}")


def _parked(connection: Connection[Any], findings: Findings) -> set[tuple[str, UUID]]:
    """Topics and aggregates with parked events; their rows cannot be complete."""
    rows = connection.execute(
        "SELECT topic, model, aggregate_id, count(*), min(error) FROM parked_events GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
    ).fetchall()
    for _, model, aggregate_id, count, error in rows:
        findings.add(f"{model} {aggregate_id} has {count} parked events, for example: {error}")
    return {(topic, aggregate_id) for topic, _, aggregate_id, _, _ in rows}


def _read(connection: Connection[Any], name: str, query: str) -> Iterator[tuple[Any, ...]]:
    """All rows, a bounded number at a time."""
    with connection.cursor(name, binary=True) as cursor:
        cursor.itersize = FETCH
        cursor.execute(query)
        yield from cursor


def _one(connection: Connection[Any], query: str) -> tuple[Any, ...]:
    row: tuple[Any, ...] | None = connection.execute(query).fetchone()
    assert row is not None
    return row
