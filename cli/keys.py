"""`stagedoor keys`: the key pairs that sign access tokens."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import click
import psycopg

from adapters.database import make_pool
from adapters.house_key import HouseKey, open_house_key
from adapters.settings import Settings, required
from adapters.token_keys import OVERLAP, KeyRow, KeyState, TokenKeys
from cli import running
from cli.target import CannotStartError

T = TypeVar("T")

WITHIN = "within a second, on every API process"
"""They read the keys twice a second (`api/auth.py`)."""


@click.group()
def keys() -> None:
    """List, rotate or retire the keys that sign access tokens.

    Sessions are not touched: who has a refresh token gets an access token of the new key with it. Private keys are
    never shown.
    """


@keys.command("list")
def list_keys() -> None:
    """List the keys, the newest first, and what each is good for."""
    rows = _run(TokenKeys.rows)
    for row in rows:
        click.echo(f"{row.kid}  made {row.created_at:%Y-%m-%dT%H:%M:%SZ}  {_state(row)}")
    if not rows:
        click.echo("there is no key yet: the API makes one when it starts")


@keys.command()
def rotate() -> None:
    """Make a new key that signs from now on, and retire the one before.

    Both verify for a quarter of an hour, which is longer than a token of the old one lives: nobody is signed out.
    """
    kid = _run(TokenKeys.rotate)
    click.echo(f"{kid} signs {WITHIN}")
    click.echo(f"what signed before verifies for another {OVERLAP.total_seconds() / 60:.0f} minutes")


@keys.command(context_settings={"ignore_unknown_options": True})  # one in 64 begins with a dash
@click.argument("kid")
def retire(kid: str) -> None:
    """End the key KID at once: for a key that somebody else may know.

    Every access token it signed is refused within a second, on every API process that reaches the database. If it was
    the one that signs, a new one is made. For a key nobody knows `rotate` is enough.
    """
    if not _run(lambda held: held.end(kid)):
        raise CannotStartError(f"there is no key {kid!r}; `stagedoor keys list` shows them")
    click.echo(f"{kid} has ended: tokens it signed are refused {WITHIN}")


def _run(work: Callable[[TokenKeys], Awaitable[T]]) -> T:
    async def opened(database_url: str, house_key: HouseKey) -> T:
        async with make_pool(database_url, max_size=1) as pool:
            return await work(TokenKeys(pool, house_key))

    with running.database(Settings.from_environment()) as settings:
        try:
            house_key = open_house_key(settings)
            return asyncio.run(opened(required(settings.database_url, "DATABASE_URL"), house_key))
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):
            raise CannotStartError("the database has no schema, or an older one: run `stagedoor migrate`") from None


def _state(row: KeyRow) -> str:
    state = row.state
    if state is KeyState.VERIFIES and row.retired_at is not None:
        return f"{state.value}, until {row.retired_at + OVERLAP:%Y-%m-%dT%H:%M:%SZ}"
    return state.value
