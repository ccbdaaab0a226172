"""People who were erased after a backup was made: whoever came back with it is erased again, by the same command."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

import psycopg

from adapters.event_store import PostgresEventStore
from api.ids import new_id
from cli.backup.errors import BackupFailedError
from domain.actors import Actors
from domain.aggregate import Cause
from domain.errors import DomainError
from domain.marketplace import Ask, Marketplace
from domain.user import User

AT_ONCE = 200
"""Commands told together; fewer than a batch takes."""

HOLD_SECONDS = 900
"""No order is placed here, but a marketplace has one."""

_ERASED = "SELECT originator_id FROM stored_events WHERE topic = %s"
_BACK = (
    "SELECT id FROM unnest(%s::uuid[]) AS id"
    " WHERE EXISTS (SELECT FROM stored_events WHERE originator_id = id AND originator_version = 1)"
    " AND NOT EXISTS (SELECT FROM stored_events WHERE originator_id = id AND topic = %s) ORDER BY id"
)


def read_erased(connection: psycopg.Connection[Any]) -> set[UUID]:
    """Everybody whose erasure is in the log."""
    return {row[0] for row in connection.execute(_ERASED, (User.Erased.TOPIC,))}


def came_back(connection: psycopg.Connection[Any], erased: Iterable[UUID]) -> list[UUID]:
    """Those of `erased` who are in this log and not erased in it."""
    return [row[0] for row in connection.execute(_BACK, (list(erased), User.Erased.TOPIC))]


def erase_again(database_url: str, people: Sequence[UUID]) -> None:
    """Tells the house's command for each of them: event, key, account, collection and stored answers.

    Raises:
        BackupFailedError: the database went away; what was not done can be done again.
    """
    try:
        asyncio.run(_erase(database_url, people))
    except DomainError as error:
        raise BackupFailedError(f"those who were erased after the backup could not be erased again: {error}") from error


async def _erase(database_url: str, people: Sequence[UUID]) -> None:
    actors = Actors(PostgresEventStore(database_url))
    actors.start()
    try:
        marketplace = Marketplace(actors, HOLD_SECONDS)
        for start in range(0, len(people), AT_ONCE):
            asks: list[tuple[UUID, Ask[User, None]]] = [
                (user_id, Ask(Cause(None, new_id(), new_id()), lambda _: None))
                for user_id in people[start : start + AT_ONCE]
            ]
            await asyncio.gather(*(marketplace.erase_account(user_id, ask) for user_id, ask in asks))
    finally:
        await actors.stop()
