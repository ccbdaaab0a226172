"""`stagedoor verify`: is everything that is stored what the log says?"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any
from uuid import UUID

import click
import psycopg

from adapters.database import make_pool
from adapters.log_sections import SECTION, broken_sections
from adapters.settings import Settings, required
from cli import running
from cli.meter import Meter, console
from cli.verification.checks import Verification
from cli.verification.rows import one_moment, read_everything
from projections.models import MODELS
from projections.positions import Progress, read_progress

CATCH_UP_SECONDS = 20.0
"""How long read models that follow are waited for; what is behind afterwards is said, and is no difference."""

LOOK_SECONDS = 0.2


@click.command()
def verify() -> None:
    """Fold the whole log and compare everything with it.

    Every event and its hash, the log's closed sections, every snapshot and read-model row, every line of the ledger and
    their sums, what buyers are owed against refunds that are to be made, the counts that events carry, units sold
    against completed orders, holds against open orders, accounts against users. Exit code 1 and the differences if
    there are any.
    """
    settings = Settings.from_environment()
    with running.database(settings) as resolved:
        database_url = required(resolved.database_url, "DATABASE_URL")
        wait_seconds = CATCH_UP_SECONDS if running.find_running(settings) or settings.database_url else 0.0
        progress = _caught_up(database_url, wait_seconds)
        verification = _fold(database_url, progress)
    sys.exit(_report(verification, progress))


def _caught_up(database_url: str, wait_seconds: float) -> Progress:
    """How far everything is, once it has come to what was the log's end, or time is up."""

    async def look() -> Progress:
        async with make_pool(database_url, max_size=1) as pool:
            return await read_progress(pool)

    with psycopg.connect(database_url, autocommit=True) as connection:
        end = _one(connection, "SELECT COALESCE(max(notification_id), 0) FROM stored_events")
    give_up_at = time.monotonic() + wait_seconds
    progress = asyncio.run(look())
    while time.monotonic() < give_up_at and _behind(progress, end):
        time.sleep(LOOK_SECONDS)
        progress = asyncio.run(look())
    return progress


def _behind(progress: Progress, end: int) -> bool:
    return progress.relay.position < end or any(progress.behind(model) for model in MODELS)


def _fold(database_url: str, progress: Progress) -> Verification:
    verification = Verification({model: progress.model(model).position for model in MODELS})
    with one_moment(database_url) as connection:
        total = _one(connection, "SELECT count(*) FROM stored_events")
        end = _one(connection, "SELECT COALESCE(max(notification_id), 0) FROM stored_events")
        accounts: set[UUID] = {row[0] for row in connection.execute("SELECT user_id FROM accounts")}
        # First, since it explains what follows, and only so many differences are shown.
        _check_stream(verification, progress, end, _one(connection, "SELECT count(*) FROM parked_events"))
        keys: set[UUID] = {row[0] for row in connection.execute("SELECT user_id FROM personal_keys")}
        with Meter(console(stderr=True), "Folding the log (events)", total) as meter:
            for found in read_everything(connection):
                verification.check(found)
                meter.to(verification.events)
        for section, events in broken_sections(connection):
            first = section.last_position - SECTION + 1
            verification.differ(
                f"section {section.number} of the log (positions {first:,} to {section.last_position:,}) is not what"
                f" was closed: it had {section.events:,} events and has {events:,}"
            )
    verification.check_together(accounts)
    for user_id in sorted(accounts ^ keys):
        verification.differ(f"user {user_id} has {'a key but no account' if user_id in keys else 'no key'}")
    return verification


def _check_stream(verification: Verification, progress: Progress, end: int, parked: int) -> None:
    """What is wrong on the way from the log to the read models."""
    if parked:
        verification.differ(f"{parked} events are parked: they could not be projected")
    if progress.relay.trouble is not None:
        verification.differ(f"the relay publishes nothing: {progress.relay.trouble}")
    if progress.relay.position > end:
        verification.differ(f"published up to position {progress.relay.position}, but the log ends at {end}")


def _report(verification: Verification, progress: Progress) -> int:
    kinds = ", ".join(f"{count:,} {kind}s" for kind, count in sorted(verification.aggregates.items())) or "nothing"
    click.echo(
        f"{verification.events:,} events of {kinds}; {verification.rows:,} rows and"
        f" {verification.snapshots:,} snapshots compared, {verification.lines:,} lines of the ledger;"
        f" published up to position {progress.relay.position:,}"
    )
    for model, count in verification.behind.items():
        click.echo(f"{model} is behind in {count:,} rows: compared as of position {verification.reached[model]:,}")
    if not verification.difference_count:
        click.echo("Everything is what the log says.")
        return 0
    for difference in verification.differences:
        click.echo(difference)
    untold = verification.difference_count - len(verification.differences)
    click.echo(f"{verification.difference_count:,} differences" + (f", {untold:,} of them not shown" if untold else ""))
    return 1


def _one(connection: psycopg.Connection[Any], query: Any) -> int:
    row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])
