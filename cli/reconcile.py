"""`stagedoor reconcile`: the log against Stripe's books."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack
from datetime import UTC, datetime, time, timedelta

import click
import msgspec
import psycopg

from adapters.database import make_pool
from adapters.event_store import PostgresEventStore
from adapters.settings import Settings, required
from adapters.stripe_gateway import StripeGateway
from cli import running
from cli.target import CannotStartError
from domain.actors import Actors
from domain.marketplace import Marketplace
from domain.ports import PaymentUnavailable
from projections.reconciling import CHARGES, REFUNDS, Reconciling
from streams.reconciliation import DISPUTED, Difference, Reconciliation, Report

MAX_DAYS = 400

_SAID = {
    "not_in_log": "the log did not have it",
    "not_at_stripe": "Stripe does not have it so",
    "failed_at_stripe": "it never came to the card",
    "foreign": "not of this house",
    "stuck": "it does not get done",
    "owed": "the card does not take it",
}
_NAMES = {CHARGES: "charge", REFUNDS: "refund", DISPUTED: "dispute"}


@click.command()
@click.option(
    "--day", type=click.DateTime(["%Y-%m-%d"]), help="The (first) day to compare, in UTC; by default the last 24 hours."
)
@click.option(
    "--days", type=click.IntRange(1, MAX_DAYS), default=1, show_default=True, help="How many days, from --day on."
)
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def reconcile(day: datetime | None, days: int, *, as_json: bool) -> None:
    """Ask Stripe what became of every payment without a known end, and compare its charges and refunds with the log.

    What Stripe has and the log has not is told to the order, as its webhook would have: it completes the order, or
    goes back. Whatever is left is listed, and the exit code is 1. The worker does the same by itself: payments all
    the time, what is new every hour, the last day every day.
    """
    until = datetime.now(UTC)
    since = until - timedelta(days=days)
    if day is not None:
        since = datetime.combine(day, time(), UTC)
        until = min(until, since + timedelta(days=days))
        if since >= until:
            raise CannotStartError(f"--day {day:%Y-%m-%d} has not begun (in UTC)")
    with running.database(Settings.from_environment()) as settings:
        try:
            report = asyncio.run(_reconcile(settings, since, until))
        except psycopg.errors.UndefinedTable:
            raise CannotStartError("the database has no schema: run `stagedoor migrate`") from None
        except PaymentUnavailable:
            raise click.ClickException(
                "Stripe does not answer, or not as expected; nothing is lost, try again"
            ) from None
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(report), indent=2))
    else:
        _show(report)
    sys.exit(1 if report.open_differences else 0)


async def _reconcile(settings: Settings, since: datetime, until: datetime) -> Report:
    database_url = required(settings.database_url, "DATABASE_URL")
    async with AsyncExitStack() as stack:
        gateway = StripeGateway(settings)
        stack.push_async_callback(gateway.close)
        pool = await stack.enter_async_context(make_pool(database_url, max_size=2))
        actors = Actors(PostgresEventStore(database_url))
        actors.start()
        stack.push_async_callback(actors.stop)
        marketplace = Marketplace(actors, settings.hold_seconds, terms=settings.terms)
        return await Reconciliation(Reconciling(pool), marketplace, gateway, gateway).everything(since, until)


def _show(report: Report) -> None:
    click.echo(f"{report.since:%Y-%m-%d %H:%M} to {report.until:%Y-%m-%d %H:%M} UTC")
    click.echo(f"{report.intents:,} payments without a known end: {report.ended:,} have come to one")
    counts = [f"{report.compared[kind]:,} {name}s" for kind, name in _NAMES.items()]
    click.echo(f"{counts[0]}, {counts[1]} and {counts[2]} of Stripe's compared")
    for difference in report.differences:
        click.echo(_line(difference))
    left = len(report.open_differences)
    if report.differences:
        click.echo(f"{len(report.differences):,} differences, {left:,} to be looked at")
    else:
        click.echo("no difference")


def _line(difference: Difference) -> str:
    what = _NAMES.get(difference.what, difference.what)
    known = [what, difference.reference, str(difference.money or ""), f"of order {difference.order_id or '?'}"]
    end = "" if difference.kind == "foreign" else ": mended" if difference.is_fixed else f": {difference.detail}"
    return f"{' '.join(part for part in known if part)}: {_SAID[difference.kind]}{end}"
