"""`stagedoor audit`: the history of one ticket, order or account, and who owned what at a moment."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

import click

from adapters.settings import Settings
from cli.audit import history, owners
from cli.audit.arguments import MOMENT
from cli.audit.log import opened
from cli.audit.output import show
from cli.audit.ownership import find_buyers, rebuild
from cli.audit.steps import Kind, read_steps
from domain.order import Order
from domain.ticket import Ticket
from domain.user import User

Command = Callable[..., None]


@click.group()
def audit() -> None:
    """Show everything that happened to a ticket, an order or an account, and who owned what when.

    It is read from the event log alone and changes nothing. Times are RFC 3339 with an offset, such as
    2026-11-20T13:03:30Z. Exit code 1: there is no such thing, or the log is damaged.
    """


def _of_one(command: Command) -> Command:
    """The argument and options that all three histories have."""
    for decorate in (
        click.option("--json", "as_json", is_flag=True, help="An object an event, each on a line of its own."),
        click.option("--as-of", type=MOMENT, metavar="TIME", help="The state at that moment, and the events up to it."),
        click.argument("aggregate_id", type=click.UUID, metavar="ID"),
    ):
        command = decorate(command)
    return command


@audit.command()
@_of_one
def ticket(aggregate_id: UUID, as_of: datetime | None, as_json: bool) -> None:
    """Every event of a ticket, and the state after it."""
    _history(Ticket, aggregate_id, as_of, as_json)


@audit.command()
@_of_one
def order(aggregate_id: UUID, as_of: datetime | None, as_json: bool) -> None:
    """Every event of an order, and the state after it."""
    _history(Order, aggregate_id, as_of, as_json)


@audit.command()
@_of_one
def user(aggregate_id: UUID, as_of: datetime | None, as_json: bool) -> None:
    """Every event of an account, and the state after it.

    Personal data is not in the log: an event says that a name changed, never to what.
    """
    _history(User, aggregate_id, as_of, as_json)


@audit.command("who-owned")
@click.argument("ticket_id", type=click.UUID, metavar="TICKET")
@click.option("--at", type=MOMENT, metavar="TIME", required=True, help="The moment.")
@click.option("--json", "as_json", is_flag=True, help="One object.")
@click.option("--names", is_flag=True, help="Put the buyers' names into the JSON, too.")
def who_owned(ticket_id: UUID, at: datetime, as_json: bool, names: bool) -> None:
    """Who held and who owned a ticket's units at a moment.

    Rebuilt from the events of the ticket and of its orders. The log knows buyers by id; the table shows beside it the
    name that the account has today, if it was not erased.
    """
    with opened() as connection:
        ownership = rebuild(read_steps(connection, Ticket, ticket_id, at), at)
        find_buyers(connection, Settings.from_environment(), ownership)
    show([owners.as_json(ownership, names=names)] if as_json else owners.table(ownership))


def _history(kind: Kind, aggregate_id: UUID, as_of: datetime | None, as_json: bool) -> None:
    with opened() as connection:
        steps = read_steps(connection, kind, aggregate_id, as_of)
        show(history.json_lines(steps) if as_json else history.table(steps))
