"""Putting a backup in the place of the database: restored beside it, checked, then swapped by name.

Until the swap the present database is not touched, and after it, it is there under another name.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from adapters.database import connection_options, migrate, pending_migrations
from adapters.house_key import find_house_key
from adapters.log_sections import broken_sections
from adapters.settings import Settings
from cli.backup import databases
from cli.backup.erasures import came_back, erase_again, read_erased
from cli.backup.errors import BackupFailedError, DamagedBackupError
from cli.backup.figures import differences, is_marketplace, read_figures
from cli.backup.manifest import DUMP, Manifest
from cli.backup.positions import advance_positions, last_position
from cli.backup.programs import find, run
from cli.embedded.console import Console
from cli.target import CannotStartError

JOBS = 2
"""Connections that load and build indexes at once."""


@dataclass(frozen=True)
class Restored:
    """What was done."""

    name: str
    former: str
    """The name under which the database that was there is kept."""
    next_position: int
    """Of the next event."""
    pending: list[str]
    """Migrations that this program has and the backup had not."""
    erased: int | None
    """Accounts erased again; None: it is not known whom to erase, since the former database had no marketplace."""


@dataclass(frozen=True)
class _Former:
    """The database that is to be replaced."""

    name: str
    major: int
    """Of its server."""
    seen: int
    """The last position it ever gave to an event."""
    erased: set[UUID] | None
    """Everybody who was erased in it; None: it has no marketplace."""


def restore_backup(
    database_url: str, backup: Path, manifest: Manifest, settings: Settings, console: Console
) -> Restored:
    """Restores a backup that was read and checked.

    Raises:
        BackupFailedError: it could not be restored, or is not what its manifest says; nothing has changed.
        CannotStartError: the database is in use, or this role or these programs cannot restore it.
        SettingsError: the backup was sealed with a house key that is not here.
    """
    try:
        return _restore(database_url, backup, manifest, settings, console)
    except psycopg.Error as error:
        raise BackupFailedError(f"nothing was restored: {error}") from error


def _restore(database_url: str, backup: Path, manifest: Manifest, settings: Settings, console: Console) -> Restored:
    before = _look(database_url)
    name = before.name
    if before.major < manifest.postgresql:
        raise CannotStartError(
            f"the backup is of PostgreSQL {manifest.postgresql}, this server is PostgreSQL {before.major}"
        )
    pg_restore = find(settings.data_dir, before.major).pg_restore
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ").lower()
    fresh, former = (databases.suffixed(name, f"_{what}_{stamp}") for what in ("restoring", "before"))
    fresh_url = make_conninfo(database_url, dbname=fresh)
    with databases.maintenance(database_url) as server:
        databases.require_unused(server, name)
        owner = databases.create_like(server, fresh, name)
    try:
        arguments = [
            "--exit-on-error", "--no-owner", "--no-privileges", f"--role={owner}", f"--jobs={JOBS}", str(backup / DUMP)
        ]  # fmt: skip
        run(pg_restore, arguments, fresh_url, console, lambda: "pg_restore is at work")
        next_position, pending, people = _check(fresh_url, manifest, settings, before)
        if people:
            if pending:
                migrate(fresh_url)  # the command needs today's tables
            erase_again(fresh_url, people)
        with databases.maintenance(database_url) as server:
            databases.swap(server, name, fresh, former)
    except BaseException:
        with databases.maintenance(database_url) as server:
            databases.drop(server, fresh)
        raise
    erased = None if before.erased is None else len(people)
    return Restored(name, former, next_position + len(people), pending, erased)


def _look(database_url: str) -> _Former:
    with psycopg.connect(database_url, autocommit=True, **connection_options(statement_timeout_ms=0)) as connection:
        is_used = is_marketplace(connection)
        return _Former(
            name=connection.info.dbname,
            major=connection.info.server_version // 10_000,
            seen=last_position(connection) if is_used else 0,
            erased=read_erased(connection) if is_used else None,
        )


def _sign_everybody_out(connection: psycopg.Connection[Any]) -> None:
    """Sessions that ended after the backup would be alive again, and tokens given out since would still be good.

    Links that were used since would be good again too, and letters would be sent a second time.
    """
    connection.execute("UPDATE sessions SET ended_at = clock_timestamp() WHERE ended_at IS NULL")
    connection.execute("DELETE FROM signing_keys")  # the API makes a new one
    for table in ("links", "letters"):
        if connection.execute("SELECT to_regclass(%s)", (table,)).fetchone() != (None,):  # an older backup has none
            connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))


def _require_house_key(connection: psycopg.Connection[Any], settings: Settings) -> None:
    """Without it nobody could sign in to what was restored."""
    row = connection.execute("SELECT to_regclass('house_key') IS NOT NULL").fetchone()
    if row is not None and row[0] and connection.execute("SELECT FROM house_key").fetchone() is not None:
        find_house_key(connection, settings)


def _check(
    database_url: str, manifest: Manifest, settings: Settings, before: _Former
) -> tuple[int, list[str], list[UUID]]:
    """Compares the restored database with the manifest and makes it ready; the next position, what is to migrate, and
    who is to be erased again.

    Raises:
        DamagedBackupError: it is another one.
        SettingsError: the house key it was sealed with is not here.
    """
    options: dict[str, Any] = connection_options(statement_timeout_ms=0)
    with psycopg.connect(database_url, autocommit=True, **options) as connection:
        figures = read_figures(connection)
        wrong = differences(manifest.database, figures)
        if not wrong and figures.sections:
            wrong = [f"section {section.number} of the log was changed" for section, _ in broken_sections(connection)]
        if wrong:
            raise DamagedBackupError(f"what was restored is not what the manifest says: {'; '.join(wrong[:5])}")
        _require_house_key(connection, settings)
        connection.execute("ANALYZE")  # or the planner knows nothing of its size
        _sign_everybody_out(connection)
        # Positions that the former database gave to events were published, perhaps: they are not given to others.
        next_position = advance_positions(connection, before.seen)
        people = came_back(connection, before.erased or ())
        return next_position, pending_migrations(set(figures.migrations)), people
