"""An import file: what it is, how long it is, and its rows."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TextIO

from cli.import_csv import read_csv
from cli.import_json import read_json
from cli.import_rows import ImportFileError, Row
from cli.meter import Meter

ENCODING = "utf-8-sig"
"""UTF-8, with a byte order mark or without."""

CHUNK_BYTES = 64 * 1024
HEAD_CHARS = 4096
ROWS_BETWEEN_SIGNS = 1000


class ImportFile:
    """Read anew for every pass, so that its length does not matter."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def count(self, meter: Meter) -> int:
        """How many rows it has, good and bad.

        Raises:
            ImportFileError: it cannot be read to its end, so that nothing of it should be imported.
        """
        rows = 0
        for rows, _ in enumerate(self.rows(), start=1):
            if rows % ROWS_BETWEEN_SIGNS == 0:
                meter.to(rows)
        meter.to(rows)
        return rows

    def rows(self) -> Iterator[Row]:
        """Every row in the order of the file.

        Raises:
            ImportFileError: from here on it cannot be read.
        """
        with self._open() as file:
            try:
                yield from read_json(file) if self._is_json(file) else read_csv(file)
            except UnicodeDecodeError as error:
                raise ImportFileError(f"line {self._first_bad_line()}: not UTF-8; save the file as UTF-8") from error
            except OSError as error:
                raise ImportFileError(str(error.strerror)) from error

    def _open(self) -> TextIO:
        try:
            return self._path.open(encoding=ENCODING, newline="")
        except OSError as error:
            raise ImportFileError(str(error.strerror)) from error

    def _is_json(self, file: TextIO) -> bool:
        """By its name, else by its first character."""
        suffix = self._path.suffix.lower()
        if suffix in {".json", ".csv"}:
            return suffix == ".json"
        head = file.read(HEAD_CHARS).lstrip()
        file.seek(0)
        return head.startswith(("[", "{"))

    def _first_bad_line(self) -> int:
        decoder = codecs.getincrementaldecoder(ENCODING)()
        line = 1
        with self._path.open("rb") as file:
            for chunk in chain(iter(lambda: file.read(CHUNK_BYTES), b""), [b""]):
                try:
                    line += decoder.decode(chunk, final=not chunk).count("\n")
                except UnicodeDecodeError as error:
                    return line + error.object[: error.start].count(b"\n")
        return line
