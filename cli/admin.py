"""`stagedoor admin EMAIL`: the one way to make an administrator; there is none over HTTP."""

from __future__ import annotations

import asyncio
from uuid import UUID

import click

from adapters.accounts import Accounts
from adapters.database import make_pool
from adapters.event_store import PostgresEventStore
from adapters.house_key import open_house_key
from adapters.settings import Settings, required
from api.emails import normalised
from api.ids import new_id
from cli import running
from cli.target import CannotStartError
from domain.actors import Actors
from domain.aggregate import Cause
from domain.marketplace import Ask, Marketplace
from domain.user import User


@click.command()
@click.argument("email")
@click.option("--revoke", is_flag=True, help="Take it away again, and sign the account out everywhere.")
def admin(email: str, revoke: bool) -> None:
    """Make the account with this EMAIL an administrator.

    An administrator may read every order and every history, and refund any order.
    """
    with running.database(Settings.from_environment()) as settings:
        asyncio.run(_appoint(settings, normalised(email), is_admin=not revoke))
    if revoke:
        click.echo(f"{email} is no administrator any more, and is signed out everywhere")
    else:
        click.echo(f"{email} is an administrator from the next sign-in on")


async def _appoint(settings: Settings, email: str, *, is_admin: bool) -> None:
    database_url = required(settings.database_url, "DATABASE_URL")
    async with make_pool(database_url, max_size=1) as pool:
        accounts = Accounts(pool, open_house_key(settings))
        account = await accounts.by_email(email)
        if account is None:
            raise CannotStartError(f"there is no account with the address {email}")
        await _tell(database_url, settings.hold_seconds, account.user_id, is_admin=is_admin)
        if not is_admin:
            # A token says what its owner may do until it expires: without its session it says nothing.
            await accounts.end_sessions(account.user_id)


async def _tell(database_url: str, hold_seconds: int, user_id: UUID, *, is_admin: bool) -> None:
    actors = Actors(PostgresEventStore(database_url))
    actors.start()
    try:
        ask: Ask[User, None] = Ask(Cause(None, new_id(), new_id()), lambda _: None)
        await Marketplace(actors, hold_seconds).appoint(user_id, is_admin, ask)
    finally:
        await actors.stop()
