"""Tables as plain lines: no colour, nothing cut off or folded, so that they can be searched and piped.

A line is as long as its values are; the last column is not padded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

PAGE = 1_000
"""Rows whose widths are looked at together: bounds memory, however long the table is."""

GAP = "  "


@dataclass(frozen=True, slots=True)
class Column:
    """One column; numbers stand to the right."""

    title: str
    right: bool = False


def lines(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """The header and the rows. Columns may grow wider from one page to the next."""
    widths = [len(column.title) for column in columns]
    waiting, header = iter(rows), True
    while page := list(islice(waiting, PAGE)):
        widths = [max(width, *(len(row[place]) for row in page)) for place, width in enumerate(widths)]
        if header:
            yield _line(columns, widths, [column.title for column in columns])
            header = False
        for row in page:
            yield _line(columns, widths, row)


def printable(text: str) -> str:
    """The text with control characters written out: what a seller typed must not steer the auditor's terminal."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def moment(time: datetime) -> str:
    """RFC 3339 in UTC, always with microseconds, so that times stand below each other."""
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


def _line(columns: Sequence[Column], widths: Sequence[int], values: Sequence[str]) -> str:
    cells = (
        value.rjust(width) if column.right else value.ljust(width)
        for column, width, value in zip(columns, widths, values, strict=True)
    )
    return GAP.join(cells).rstrip()
