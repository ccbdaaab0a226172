"""The manifest of a backup: what is in it, of which moment, and the hashes of its files.

A backup is a folder with the manifest and the folder `dump`, which is pg_dump's directory format.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from adapters.database import pending_migrations
from cli.backup.errors import DamagedBackupError
from cli.backup.figures import Figures
from cli.embedded.folder import write_private
from cli.target import CannotStartError

FILE_NAME = "manifest.json"
DUMP = "dump"
FORMAT = 1
"""Of the manifest."""


class DumpedFile(msgspec.Struct, frozen=True):
    """One file of the dump."""

    bytes: int
    sha256: str
    """In hexadecimal."""


class Manifest(msgspec.Struct, frozen=True):
    """What a backup says about itself."""

    format: int
    made_at: datetime
    """By the database's clock: the moment that the backup shows."""
    program: str
    """The version of Stagedoor that made it."""
    postgresql: int
    """The major version of the server."""
    database: Figures
    files: dict[str, DumpedFile]
    """By path inside the backup."""

    @property
    def size(self) -> int:
        """Of all files, in bytes."""
        return sum(file.bytes for file in self.files.values())


def program_version() -> str:
    """Of this program; `source` for one that was not installed."""
    try:
        return version("stagedoor")
    except PackageNotFoundError:
        return "source"


def dumped_files(backup: Path) -> dict[str, DumpedFile]:
    """The files of the dump in a backup folder, with their hashes."""
    paths = sorted(path for path in (backup / DUMP).rglob("*") if path.is_file())
    return {path.relative_to(backup).as_posix(): _read(path) for path in paths}


def write(backup: Path, manifest: Manifest) -> None:
    """Writes the manifest into a backup folder, readable by its owner alone."""
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=2).decode()
    write_private(backup / FILE_NAME, text + "\n")


def read(backup: Path) -> Manifest:
    """The manifest of a backup whose files are as it says.

    Raises:
        CannotStartError: there is no such backup, or it is of a newer version of this program.
        DamagedBackupError: a file is missing or was changed.
    """
    try:
        manifest = msgspec.json.decode((backup / FILE_NAME).read_bytes(), type=Manifest)
    except OSError as error:
        raise CannotStartError(f"{backup} is not a backup: {FILE_NAME} cannot be read: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise CannotStartError(f"{backup} is not a backup this program can read: {FILE_NAME}: {error}") from error
    if manifest.format != FORMAT:
        raise CannotStartError(f"{backup} has a manifest of format {manifest.format}, this program reads {FORMAT}")
    _require_known_schema(manifest)
    for name, expected in manifest.files.items():
        _require_same(backup, name, expected)
    return manifest


def _require_known_schema(manifest: Manifest) -> None:
    unknown = sorted(set(manifest.database.migrations) - set(pending_migrations(set())))
    if unknown:
        raise CannotStartError(
            f"the backup is of a newer Stagedoor ({manifest.program}): the migration {unknown[0]} is unknown here"
        )


def _require_same(backup: Path, name: str, expected: DumpedFile) -> None:
    try:
        found = _read(backup / name)
    except OSError as error:
        raise DamagedBackupError(f"the backup is damaged: {name} cannot be read: {error.strerror}") from error
    if found != expected:
        raise DamagedBackupError(
            f"the backup is damaged: {name} is not what was written (SHA-256 {found.sha256[:16]}…,"
            f" not {expected.sha256[:16]}…)"
        )


def _read(path: Path) -> DumpedFile:
    with path.open("rb") as file:
        return DumpedFile(path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())
