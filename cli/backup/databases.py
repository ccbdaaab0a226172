"""The databases of one server: who uses one, making one like another, putting one in the place of another."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL, Composable, Identifier, Literal

from adapters.database import connection_options
from cli.backup.errors import BackupFailedError
from cli.target import CannotStartError

MAINTENANCE = "postgres"
"""The database every server has for such work."""

LEAVE_SECONDS = 2.0
"""A connection that was closed a moment ago may still be shown."""

LOOK_SECONDS = 0.1

NAME_LENGTH = 36
"""Bytes kept of a database's name where a suffix of at most 27 is added: a name has 63."""

_OTHERS = (
    "SELECT COALESCE(NULLIF(application_name, ''), 'a program without a name'), pid, usename,"
    " COALESCE(host(client_addr), 'this machine') FROM pg_stat_activity"
    " WHERE datname = %s AND pid <> pg_backend_pid() AND backend_type IS DISTINCT FROM 'autovacuum worker'"
    " ORDER BY backend_start"
)
_LIKE = (
    "SELECT pg_get_userbyid(datdba), pg_encoding_to_char(encoding), datcollate, datctype, to_jsonb(d)"
    " FROM pg_database AS d WHERE datname = %s"
)


@contextmanager
def maintenance(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection to the same server that stands outside the marketplace's database."""
    options = connection_options(statement_timeout_ms=0)
    elsewhere = make_conninfo(database_url, dbname=MAINTENANCE, application_name="stagedoor restore")
    with psycopg.connect(elsewhere, autocommit=True, **options) as connection:
        yield connection


def others(connection: psycopg.Connection[Any], name: str) -> list[str]:
    """Who else is connected to a database, in words."""
    rows = connection.execute(_OTHERS, (name,)).fetchall()
    return [f"{program} (server process {pid}, user {user}, from {place})" for program, pid, user, place in rows]


def require_unused(connection: psycopg.Connection[Any], name: str) -> None:
    """Raises `CannotStartError` while somebody else is connected to a database."""
    give_up_at = time.monotonic() + LEAVE_SECONDS
    while found := others(connection, name):
        if time.monotonic() > give_up_at:
            raise CannotStartError(f"the database {name} is in use by {', '.join(found[:5])}: end that first")
        time.sleep(LOOK_SECONDS)


def suffixed(name: str, suffix: str) -> str:
    """A name for a database beside another."""
    return name.encode()[:NAME_LENGTH].decode(errors="ignore") + suffix


def create_like(connection: psycopg.Connection[Any], name: str, model: str) -> str:
    """Makes an empty database with the owner, encoding and locale of another; returns the owner.

    Raises:
        CannotStartError: this role may not.
    """
    row = connection.execute(_LIKE, (model,)).fetchone()
    assert row is not None, "it was connected to just now"
    owner, encoding, collate, ctype, entry = row
    statement = SQL("CREATE DATABASE {} TEMPLATE template0 OWNER {} ENCODING {} LC_COLLATE {} LC_CTYPE {}").format(
        Identifier(name), Identifier(owner), Literal(encoding), Literal(collate), Literal(ctype)
    )
    try:
        connection.execute(statement + _provider(entry))
    except psycopg.errors.InsufficientPrivilege as error:
        user = connection.info.user
        raise CannotStartError(
            f"the role {user} may not make a database to restore into ({error.diag.message_primary}): set DATABASE_URL"
            f" to a role that may, or say ALTER ROLE {user} CREATEDB"
        ) from error
    return str(owner)


def _provider(entry: dict[str, Any]) -> Composable:
    """Whose locale it is; the catalogue's columns differ between versions."""
    locale = entry.get("datlocale") or entry.get("daticulocale")
    match entry.get("datlocprovider"):
        case "i":
            return SQL(" LOCALE_PROVIDER icu ICU_LOCALE {}").format(Literal(locale))
        case "b":
            return SQL(" LOCALE_PROVIDER builtin BUILTIN_LOCALE {}").format(Literal(locale))
        case _:
            return SQL("")


def swap(connection: psycopg.Connection[Any], name: str, fresh: str, former: str) -> None:
    """Renames `name` to `former` and `fresh` to `name`; both or neither.

    Raises:
        BackupFailedError: somebody is connected to one of them, or this role may not.
    """
    rename = SQL("ALTER DATABASE {} RENAME TO {}")
    try:
        with connection.transaction():
            connection.execute(rename.format(Identifier(name), Identifier(former)))
            connection.execute(rename.format(Identifier(fresh), Identifier(name)))
    except psycopg.Error as error:
        who = ", ".join(others(connection, name)) or error.diag.message_primary or type(error).__name__
        raise BackupFailedError(f"the database {name} could not be replaced, and is as it was: {who}") from error


def drop(connection: psycopg.Connection[Any], name: str) -> None:
    """Drops a database, whoever is connected to it."""
    connection.execute(SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(Identifier(name)))
