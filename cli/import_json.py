"""Reads rows from JSON: an array of `POST /api/tickets` bodies, one at a time, however long the array is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, TextIO

from cli.import_rows import BadRow, ImportFileError, Row, checked

CHUNK_CHARS = 64 * 1024
LONGEST_BODY_CHARS = 1024 * 1024
"""Of one body's text: the bound of what is kept in memory, far above what a marketplace accepts."""

MAX_TOLD = 40
"""Characters of a name that are told back."""

BLANKS = " \t\r\n"


def read_json(file: TextIO) -> Iterator[Row]:
    """Every entry of the array, placed by its index, counted from 0 as JSON tools do.

    Raises:
        ImportFileError: the file is not a JSON array, or not to its end. Entries before that place have been given.
    """
    text = _Text(file)
    if text.next_char() != "[":
        raise ImportFileError("the file is not a JSON array of listings")
    text.skip()
    index = 0
    if text.next_char() == "]":
        text.skip()
    else:
        while True:
            value = text.value(index)
            place = f"index {index}"
            if text.twice is None:
                yield checked(place, value)
            else:
                yield BadRow(place, (f"{text.twice[:MAX_TOLD]}: is there twice",))
            index += 1
            separator = text.next_char()
            text.skip()
            if separator == "]":
                break
            if separator != ",":
                raise ImportFileError(f"after index {index - 1}: expected ',' or ']', found {separator or 'the end'!r}")
    if rest := text.next_char():
        raise ImportFileError(f"after the array: expected the end of the file, found {rest!r}")


class _Text:
    """The part of the file that is being read."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._buffer = ""
        self._at = 0
        self._decoder = json.JSONDecoder(parse_constant=_refuse_constant, object_pairs_hook=self._object)
        self.twice: str | None = None
        """A name that the value just read has twice in one object."""

    def next_char(self) -> str:
        """The next character that is not blank, without passing it; empty at the end of the file."""
        while True:
            while self._at < len(self._buffer):
                if self._buffer[self._at] not in BLANKS:
                    return self._buffer[self._at]
                self._at += 1
            if not self._more():
                return ""

    def skip(self) -> None:
        """Passes one character."""
        self._at += 1

    def value(self, index: int) -> Any:
        """The JSON value that begins here; complete only when something follows it, as a cut number looks whole."""
        self.next_char()
        while True:
            self.twice = None
            try:
                value, end = self._decoder.raw_decode(self._buffer, self._at)
            except (ValueError, RecursionError) as error:
                problem = error
            else:
                if end < len(self._buffer):
                    self._at = end
                    return value
                problem = ValueError("the file ends here")
            if len(self._buffer) - self._at > LONGEST_BODY_CHARS or not self._more():
                raise ImportFileError(f"index {index}: not JSON: {problem}") from problem

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members: dict[str, Any] = {}
        for name, value in pairs:
            if name in members:
                self.twice = name
            members[name] = value
        return members

    def _more(self) -> bool:
        chunk = self._file.read(CHUNK_CHARS)
        self._buffer = self._buffer[self._at :] + chunk
        self._at = 0
        return bool(chunk)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")
