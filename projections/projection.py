"""What a read model is: a table, a topic, and one pure function from an event to the columns it sets.

Published events carry absolute values (a listing's counts, not their differences), so what a run of events makes of a
row is their columns laid over each other: hundreds of events of one hot listing are one change of its row. The row's
`version` makes it idempotent.

What has to stay of every single event is lines: a second table beside the rows, to which is only ever added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, LiteralString
from uuid import UUID

from domain.published import PublishedEvent

Columns = dict[str, Any]

Line = tuple[Any, ...]
"""The aggregate's id, the event's sequence, the line's number in the event, then the columns of `Lines.columns`."""


@dataclass(frozen=True, slots=True)
class Lines:
    """A table of what each event says for ever; its key is the event and the number of the line in it."""

    table: str
    aggregate: str
    """The column that holds the aggregate's id; with `sequence` and `line` it is the key."""
    columns: Mapping[str, LiteralString]
    """The other columns, with their PostgreSQL types."""
    make: Callable[[PublishedEvent], list[Line]]
    """The lines of an event; most events have none. Pure."""


@dataclass(frozen=True, slots=True)
class Projection:
    """One read model; one row an aggregate, keyed by its id."""

    model: str
    """Its name, and its table's."""
    topic: str
    """Whose events it is made of."""
    columns: Mapping[str, LiteralString]
    """The columns that events set, with their PostgreSQL types. Beside them every table has `id` and `version`."""
    project: Callable[[PublishedEvent], Columns]
    """The columns an event sets. Pure; an aggregate's first event sets all of them, so that the row is whole."""
    lines: Lines | None = None
    """What is kept beside the rows, written in their transactions."""

    @property
    def tables(self) -> tuple[str, ...]:
        """All of its tables, in the order they are locked in."""
        return (self.model,) if self.lines is None else (self.model, self.lines.table)


@dataclass(slots=True)
class Change:
    """What a run of one aggregate's events, without gaps, makes of its row."""

    id: UUID
    base: int
    """The version the run starts from; 0: the row is made by it, and `columns` is all of it."""
    version: int
    """The version it ends at."""
    columns: Columns
    lines: list[Line] = field(default_factory=list)

    def extend(self, more: Change) -> None:
        """Takes in the change that follows this one."""
        self.columns.update(more.columns)
        self.lines += more.lines
        self.version = more.version


class SequenceGap(Exception):
    """An event is not the next one of its aggregate."""


def fold(projection: Projection, base: int, events: Iterable[PublishedEvent]) -> Change | None:
    """One change out of the events of one aggregate that lie behind version `base`; None if there are none.

    Events may come more than once; those at or below the version reached are dropped.

    Raises:
        SequenceGap: an event is missing between two of them, or between `base` and the first.
        Exception: whatever `project` raises for an event it cannot make anything of.
    """
    change, error = fold_some(projection, base, events)
    if error is not None:
        raise error
    return change


def fold_some(
    projection: Projection, base: int, events: Iterable[PublishedEvent]
) -> tuple[Change | None, Exception | None]:
    """As `fold`, as far as possible: the change, and what is wrong with the first event that is not in it."""
    change: Change | None = None
    reached = base
    for event in events:
        if event.sequence <= reached:
            continue
        if event.sequence != reached + 1:
            return change, SequenceGap(f"{event.subject} is at {reached}, the event is {event.sequence}")
        try:
            columns = projection.project(event)
            lines = [] if projection.lines is None else projection.lines.make(event)
        except Exception as error:  # noqa: BLE001 - the caller decides what becomes of an event that fails
            return change, error
        if change is not None:
            change.columns.update(columns)
        elif base == 0 and not projection.columns.keys() <= columns.keys():
            return None, ValueError(f"a {event.type} does not make a whole row")
        else:
            change = Change(event.subject, base, reached, columns)
        change.lines += lines
        reached = change.version = event.sequence
    return change, None


def text(value: str) -> str:
    """The text as PostgreSQL can keep it: it has no NUL."""
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if "\0" in value else value


def optional_text(value: str | None) -> str | None:
    """`text` of what may be missing."""
    return None if value is None else text(value)
