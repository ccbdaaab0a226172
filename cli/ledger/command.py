"""`stagedoor ledger`: who has which money, by the books."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from uuid import UUID

import click

from adapters.house_key import find_house_key
from adapters.settings import Settings
from api.emails import normalised
from cli.audit.arguments import MOMENT
from cli.audit.errors import NotFoundError
from cli.audit.log import opened
from cli.audit.output import show
from cli.ledger import selection, showing
from cli.ledger.selection import Connection, Line, Selection
from cli.meter import Meter, console
from cli.target import CannotStartError
from domain.money import decimal
from projections.buyer_orders import BUYER_ORDERS
from projections.positions import PROGRESS_QUERY, progress_of

FOUND_WRONG = 1
SHOW_EVERY = 1_000
"""Lines; a bar that moves with each of them would cost more than the export."""


class Day(click.ParamType):
    """A day of UTC, such as `2026-11-20`, or a time of RFC 3339; becomes its moment.

    Args:
        ends: whether a day becomes its end rather than its begin.
    """

    name = "day"

    def __init__(self, *, ends: bool) -> None:
        self._days = timedelta(days=1 if ends else 0)

    def convert(self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """See there. Fails (exit code 2) on anything else."""
        try:
            return datetime.combine(date.fromisoformat(str(value)), time(), UTC) + self._days
        except (ValueError, OverflowError):
            return MOMENT.convert(value, param, ctx)


@click.command()
@click.option("--order", "order_id", type=click.UUID, metavar="ID", help="The story of one order's money.")
@click.option("--seller", metavar="ID|EMAIL", help="A seller's account: earned, given back, paid out, owed.")
@click.option("--from", "since", type=Day(ends=False), metavar="DAY", help="From that day of UTC, or that time, on.")
@click.option(
    "--to", "until", type=Day(ends=True), metavar="DAY", help="Up to the end of that day of UTC, or before that time."
)
@click.option("--as-of", type=click.IntRange(min=0), metavar="POSITION", help="As of that position in the log.")
@click.option(
    "--csv",
    "csv_file",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    metavar="FILE",
    help="Write the lines to FILE as CSV (-: standard output) instead.",
)
def ledger(
    *,
    order_id: UUID | None,
    seller: str | None,
    since: datetime | None,
    until: datetime | None,
    as_of: int | None,
    csv_file: Path | None,
) -> None:
    """Show the books: every account's balance, an order's lines, a seller's account, or all lines as CSV.

    The ledger is in double entry and made of the event log; docs/ledger.md explains its accounts. Amounts of different
    currencies are never added. Exit code 1: there is no such order or seller, or the lines of an event do not come to
    zero.
    """
    if order_id is not None and seller is not None:
        raise click.UsageError("--order and --seller exclude each other")
    wanted = Selection(order_id=order_id, since=since, until=until, position=as_of)
    if wanted.since is not None and wanted.until is not None and wanted.since >= wanted.until:
        raise click.UsageError("--from lies behind --to")
    with opened() as connection:
        if seller is not None:
            wanted = replace(wanted, seller_id=_find_seller(connection, seller))
        elif order_id is not None:
            _check_order(connection, order_id)
        if csv_file is not None:
            _export(connection, wanted, csv_file)
        else:
            show(_told(connection, wanted))
        wrong = selection.unbalanced(connection, wanted) if wanted.is_whole else []
    for order, sequence, currency, amount in wrong:
        off = f"{decimal(amount, currency)} {currency}"
        click.echo(f"event {sequence} of order {order} does not come to zero: {off}", err=True)
    if wrong:
        raise click.exceptions.Exit(FOUND_WRONG)


def _find_seller(connection: Connection, seller: str) -> UUID:
    """Raises `CannotStartError`, `NotFoundError`."""
    if "@" in seller:
        email_hash = find_house_key(connection, Settings.from_environment()).address_hash(normalised(seller))
        row = connection.execute("SELECT user_id FROM accounts WHERE email_hash = %s", (email_hash,)).fetchone()
        if row is None:
            raise NotFoundError(f"there is no account with the address {seller}")
        return UUID(str(row[0]))
    try:
        return UUID(seller)
    except ValueError:
        raise CannotStartError(f"--seller {seller!r} is neither an id nor an address") from None


def _check_order(connection: Connection, order_id: UUID) -> None:
    if connection.execute("SELECT FROM buyer_orders WHERE id = %s", (order_id,)).fetchone() is None:
        raise NotFoundError(f"there is no order {order_id}, or the read models have not come to it")


def _told(connection: Connection, wanted: Selection) -> Iterator[str]:
    found = selection.balances(connection, wanted)
    if not found:
        yield "No line."
    elif wanted.order_id is not None:
        yield from showing.story(selection.lines(connection, wanted))
    elif wanted.seller_id is not None:
        yield from showing.seller_account(selection.lines(connection, wanted))
    else:
        yield from showing.trial_balance(found)
    yield ""
    yield f"The ledger has come to position {_reached(connection):,} of the log."


def _reached(connection: Connection) -> int:
    return progress_of(connection.execute(PROGRESS_QUERY).fetchall()).model(BUYER_ORDERS.model).position


def _export(connection: Connection, wanted: Selection, file: Path) -> None:
    """Writes all lines; a file is there when it is whole."""
    found = _counted(selection.lines(connection, wanted), selection.count(connection, wanted))
    if str(file) == "-":
        show(showing.csv_lines(found))
        return
    part = file.with_name(f"{file.name}.part")
    try:
        with part.open("w", encoding="utf-8", newline="") as target:
            target.writelines(f"{line}\n" for line in showing.csv_lines(found))
        part.replace(file)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise CannotStartError(f"{file} cannot be written: {error.strerror}") from error


def _counted(found: Iterable[Line], total: int) -> Iterator[Line]:
    done = 0
    with Meter(console(stderr=True), "Writing the ledger (lines)", total) as meter:
        for done, line in enumerate(found, 1):
            if done % SHOW_EVERY == 0:
                meter.to(done)
            yield line
        meter.to(done)
