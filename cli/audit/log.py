"""The log, opened for reading."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from adapters.settings import Settings, SettingsError, required
from cli import running
from cli.verification.rows import one_moment


@contextmanager
def opened() -> Iterator[psycopg.Connection[Any]]:
    """A connection that sees one moment of the database and writes nothing.

    Raises:
        SettingsError: the database is out of reach, there is none, or it is not Stagedoor's.
        PartFailedError: the embedded server does not start.
    """
    with running.database(Settings.from_environment()) as settings:
        database_url = required(settings.database_url, "DATABASE_URL")
        try:
            with one_moment(database_url) as connection:
                yield connection
        except psycopg.errors.UndefinedTable as error:
            raise SettingsError("the database has no event log: `stagedoor migrate` makes it") from error
