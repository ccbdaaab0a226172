"""Reads rows from CSV: RFC 4180, commas, the columns by name in any order."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Any, TextIO

from cli.import_rows import BadRow, ImportFileError, Row, checked

COLUMNS = {
    "title": "title",
    "event_name": "event.name",
    "starts_at": "event.starts_at",
    "venue": "event.venue",
    "promoter": "event.promoter",
    "category": "event.category",
    "amount": "price.amount",
    "currency": "price.currency",
    "quantity": "quantity",
    "description": "description",
    "hold_seconds": "hold_seconds",
    "refund_until": "refund_until",
    "refund_fee": "refund_fee",
    "resell_returned": "resell_returned",
}
"""Every column and the field of `POST /api/tickets` it becomes."""

OPTIONAL = ("promoter", "category", "description", "hold_seconds", "refund_until", "refund_fee", "resell_returned")
WHOLE_NUMBERS = ("amount", "quantity", "hold_seconds", "refund_fee")
YES_OR_NO = {"true": True, "false": False}
YES_OR_NO_COLUMN = "resell_returned"
MOST_DIGITS = 18
OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs"}


def read_csv(file: TextIO) -> Iterator[Row]:
    """Every row, placed by the line its record begins on. Blank lines, and lines of empty cells, are passed over.

    Raises:
        ImportFileError: the header is missing, has unknown columns or lacks some.
    """
    reader = csv.reader(file, strict=True)
    columns = _header(reader)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            yield BadRow(_lines(line, reader.line_num), (f"not CSV: {error}",))
            continue
        if cells is None:
            return
        if any(cell.strip() for cell in cells):
            yield _row(f"line {line}", columns, cells)


def _header(reader: Any) -> list[str]:
    try:
        cells = next((cells for cells in reader if cells), None)
    except csv.Error as error:
        raise ImportFileError(f"line {reader.line_num}: the header is not CSV: {error}") from error
    if cells is None:
        raise ImportFileError("the file is empty; its first line must name the columns")
    for separator, name in OTHER_SEPARATORS.items():
        if len(cells) == 1 and separator in cells[0]:
            raise ImportFileError(f"the columns are separated by {name}; save the file with commas")
    columns = [cell.strip() for cell in cells]
    if unknown := [column for column in columns if column not in COLUMNS]:
        raise ImportFileError(f"unknown columns: {', '.join(map(repr, unknown))}; expected {','.join(COLUMNS)}")
    if missing := [column for column in COLUMNS if column not in columns and column not in OPTIONAL]:
        raise ImportFileError(f"missing columns: {', '.join(missing)}")
    if len(set(columns)) < len(columns):
        raise ImportFileError("a column is there twice")
    return columns


def _row(place: str, columns: list[str], cells: list[str]) -> Row:
    if len(cells) != len(columns):
        return BadRow(place, (f"{len(cells)} cells, but {len(columns)} columns",))
    body: dict[str, Any] = {}
    faults = []
    for column, cell in zip(columns, cells, strict=True):
        text = cell.strip()
        if not text:
            if column not in OPTIONAL:
                faults.append(f"{column}: is empty")
        elif column in WHOLE_NUMBERS and not _is_whole_number(text):
            faults.append(f"{column}: {text[:40]!r} is not a whole number{_hint(column)}")
        elif column == YES_OR_NO_COLUMN and text.lower() not in YES_OR_NO:
            faults.append(f"{column}: {text[:40]!r} is neither true nor false")
        else:
            _put(body, COLUMNS[column], _value(column, text))
    return BadRow(place, tuple(faults)) if faults else checked(place, body)


def _value(column: str, text: str) -> str | int | bool:
    if column == YES_OR_NO_COLUMN:
        return YES_OR_NO[text.lower()]
    return int(text) if column in WHOLE_NUMBERS else text


def _is_whole_number(text: str) -> bool:
    digits = text.removeprefix("-")
    return digits.isascii() and digits.isdigit() and len(digits) <= MOST_DIGITS


def _hint(column: str) -> str:
    return " of minor units (12.50 is 1250)" if column in ("amount", "refund_fee") else ""


def _put(body: dict[str, Any], path: str, value: str | int | bool) -> None:
    *parents, name = path.split(".")
    for parent in parents:
        body = body.setdefault(parent, {})
    body[name] = value


def _lines(first: int, last: int) -> str:
    return f"line {first}" if last <= first else f"lines {first} to {last}"
