"""`stagedoor what-if`: the log replayed under another rule."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

import click
import psycopg

from cli.audit.errors import DamagedLogError
from cli.audit.log import opened
from cli.audit.output import show
from cli.audit.steps import require_first_event
from cli.meter import Meter, console
from cli.what_if import report
from cli.what_if.log import end_of, read_log
from cli.what_if.model import Model
from cli.what_if.options import FACTOR, MAX_FACTOR, PRICE, prices_of
from cli.what_if.rule import Rule
from domain.listing import MAX_HOLD_SECONDS
from domain.ticket import Ticket

SHOW_EVERY = 1_000
"""Events; a bar that moves with each of them would cost more than the replay."""


@click.command("what-if")
@click.option(
    "--hold-seconds",
    type=click.IntRange(1, MAX_HOLD_SECONDS),
    metavar="N",
    help=f"Every unpaid order keeps its tickets for N seconds (1 to {MAX_HOLD_SECONDS}), whatever its listings say.",
)
@click.option("--price-factor", type=FACTOR, metavar="X", help=f"Every price times X, 0 to {MAX_FACTOR}.")
@click.option(
    "--price",
    "given_prices",
    type=PRICE,
    metavar="TICKET=AMOUNT",
    multiple=True,
    help="The price of a unit of that listing, in minor units. May be given several times.",
)
@click.option("--json", "as_json", is_flag=True, help="One object.")
def what_if(
    hold_seconds: int | None, price_factor: Decimal | None, given_prices: Sequence[tuple[UUID, int]], as_json: bool
) -> None:
    """Replay the whole log under another rule and show the difference.

    The replay happens in memory; nothing is written. Demand stays as it was: the same orders at the same moments, paid
    when they were paid, whatever they cost.

    \b
    With another hold, the log can tell
    - which completed orders would have expired before they were paid;
    - with a longer one, which orders would have found no units, because
      others still held them;
    - which orders, expired although money came, would have been completed.

    A payment after the deadline counts as not made, unless it really was made after the deadline: then it completes the
    order if its units would have been free.

    It cannot tell who was refused in truth, since a refusal is no event; so not whom a shorter hold would have let buy,
    nor whether a buyer with less time would have hurried.

    Revenue is what completed orders came to; refunds are not taken off.
    """
    prices = prices_of(given_prices)
    if price_factor is not None and prices:
        raise click.UsageError("--price-factor and --price exclude each other")
    if hold_seconds is None and price_factor is None and not prices:
        raise click.UsageError("say what should have been different: --hold-seconds, --price-factor or --price")
    with opened() as connection:
        for ticket_id in prices:
            require_first_event(connection, Ticket, ticket_id)
        model, end = _replayed(connection, Rule(hold_seconds, price_factor, prices))
    show([report.as_json(model.sums, end)] if as_json else report.tables(model.sums, end))


def _replayed(connection: psycopg.Connection[Any], rule: Rule) -> tuple[Model, int]:
    model, end = Model(rule), end_of(connection)
    with Meter(console(stderr=True), "Replaying the log (position)", end) as meter:
        for count, (position, event) in enumerate(read_log(connection, model.stored_names)):
            try:
                model.apply(event)
            except LookupError as error:
                raise DamagedLogError(position, event.TOPIC, error) from error
            if count % SHOW_EVERY == 0:
                meter.to(position)
        meter.to(end)
    return model, end
