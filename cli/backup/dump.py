"""Making a backup: the dump and the figures beside it are of one moment, while the marketplace goes on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg.sql import SQL, Identifier

from adapters.database import connection_options
from cli.backup import manifest
from cli.backup.errors import BackupFailedError
from cli.backup.figures import is_marketplace, read_figures
from cli.backup.manifest import DUMP, FORMAT, Manifest
from cli.backup.programs import find, run
from cli.embedded.console import Console
from cli.target import CannotStartError
from projections import shadow
from projections.models import MODELS

LOCK_TIMEOUT_MS = 10_000
"""For a moment a rebuild keeps a table to itself while it swaps it."""


def require_free(target: Path) -> None:
    """Raises `CannotStartError` unless a backup can be made under this name."""
    if target.exists() or target.is_symlink():
        raise CannotStartError(f"{target} exists already; a backup is never written over anything")
    if not target.parent.is_dir():
        raise CannotStartError(f"there is no folder {target.parent} to write the backup into")


def make_backup(database_url: str, target: Path, data_dir: Path, console: Console) -> Manifest:
    """Writes a backup to `target`, which appears when it is complete.

    Raises:
        BackupFailedError: the database, pg_dump or the disk refused; nothing is left.
        CannotStartError: the target is taken, there is no marketplace in the database, or no pg_dump fits.
    """
    try:
        return _make(database_url, target, data_dir, console)
    except psycopg.Error as error:
        raise BackupFailedError(f"the backup was not made: {error}") from error


def _make(database_url: str, target: Path, data_dir: Path, console: Console) -> Manifest:
    require_free(target)
    options = connection_options(statement_timeout_ms=0)
    name = "stagedoor backup"
    with psycopg.connect(database_url, autocommit=True, application_name=name, **options) as connection:
        if not is_marketplace(connection):
            raise CannotStartError("there is nothing of a marketplace in this database")
        major = connection.info.server_version // 10_000
        pg_dump = find(data_dir, major).pg_dump
        with _partial(target) as folder:
            with _moment(connection) as (snapshot, made_at):
                figures = read_figures(connection)
                _dump(pg_dump, folder / DUMP, snapshot, database_url, console)
            made = Manifest(FORMAT, made_at, manifest.program_version(), major, figures, manifest.dumped_files(folder))
            manifest.write(folder, made)
            require_free(target)  # another one may have been faster
            folder.rename(target)
    return made


@contextmanager
def _moment(connection: psycopg.Connection[Any]) -> Iterator[tuple[str, datetime]]:
    """A moment of the database that others can be shown: its name and its time.

    The read models are locked (against being swapped by a rebuild, nothing else) before the moment is chosen, so that
    the tables seen in it are there when pg_dump comes to them.
    """
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    connection.read_only = True
    with connection.transaction():
        connection.execute(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}".encode())
        connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        tables = SQL(", ").join(Identifier(model) for model in MODELS)
        connection.execute(SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(tables))
        row = connection.execute("SELECT pg_export_snapshot(), clock_timestamp()").fetchone()
        assert row is not None, "a SELECT without FROM has one row"
        yield row


@contextmanager
def _partial(target: Path) -> Iterator[Path]:
    """A folder beside the target, for its owner alone, as all in it; gone afterwards, unless it was renamed."""
    folder = target.with_name(f".{target.name}.partial-{os.getpid()}")
    before = os.umask(0o077)
    try:
        folder.mkdir()
        yield folder
    except OSError as error:
        raise BackupFailedError(f"the backup cannot be written to {folder}: {error.strerror}") from error
    finally:
        os.umask(before)
        shutil.rmtree(folder, ignore_errors=True)


def _dump(pg_dump: Path, folder: Path, snapshot: str, database_url: str, console: Console) -> None:
    arguments = [
        "--format=directory",
        f"--file={folder}",
        f"--snapshot={snapshot}",
        f"--lock-wait-timeout={LOCK_TIMEOUT_MS}",
        f"--exclude-schema={shadow.SCHEMA}",  # a rebuild under way
    ]

    def progress() -> str:
        written = sum(path.stat().st_size for path in folder.glob("*"))
        return f"pg_dump is at work, {written / 1e6:,.0f} MB written"

    run(pg_dump, arguments, database_url, console, progress)
