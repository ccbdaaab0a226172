"""`stagedoor verify`: folds the whole event log and compares every read model and every aggregate with it."""

from __future__ import annotations

import gc
import time

import click
import psycopg

from adapters.database import connection_options, migrate
from adapters.settings import Settings, required
from cli.meter import Meter, console
from cli.running import database
from cli.verify_findings import MAX_KEPT, Findings
from cli.verify_log import verify_log
from projections.positions import PROGRESS_QUERY, progress_of

CATCH_UP_SECONDS = 60.0
"""How long read models may take to follow the log before what they show is compared as it is."""

STANDSTILL_SECONDS = 5.0
"""Without any progress for so long, nobody is at work on them."""

LOOK_SECONDS = 0.2

GC_THRESHOLD = 100_000
"""Events have no cycles; the collector would walk over thousands of them again and again."""

FOUND_WRONG = 1


@click.command()
@click.option("--no-wait", is_flag=True, help="Do not wait for read models that are behind the log.")
def verify(no_wait: bool) -> int:
    """Compare every read model and every aggregate with the event log.

    Exits with 0 if everything agrees, with 1 if anything differs. Read models that are behind are waited for while they
    follow; after that, what they show is compared with the log as it was at their position.
    """
    gc.set_threshold(GC_THRESHOLD)
    with database(Settings.from_environment()) as settings:
        database_url = required(settings.database_url, "DATABASE_URL")
        migrate(database_url)
        with psycopg.connect(database_url, autocommit=True, **connection_options(statement_timeout_ms=0)) as connection:
            if not no_wait:
                _wait(connection)
            began = time.monotonic()
            total = connection.execute("SELECT count(*) FROM stored_events").fetchone()
            with Meter(console(stderr=True), "Folding the log", total[0] if total else 0) as meter:
                findings = verify_log(connection, lambda done, _total: meter.to(done))
    _print(findings, time.monotonic() - began)
    return FOUND_WRONG if findings.wrong else 0


def _wait(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """Until the read models have followed the log, or do not get on any more."""
    began = moved_at = time.monotonic()
    before: object = None
    while True:
        progress = progress_of(connection.execute(PROGRESS_QUERY, binary=True).fetchall())
        row = connection.execute("SELECT COALESCE(max(notification_id), 0) FROM stored_events").fetchone()
        assert row is not None
        assert isinstance(row[0], int)
        if progress.is_complete(row[0]):
            return
        now = time.monotonic()
        here = (progress.relay.position, progress.applied)
        if here != before:
            before, moved_at = here, now
        if now - moved_at > STANDSTILL_SECONDS or now - began > CATCH_UP_SECONDS:
            return
        time.sleep(LOOK_SECONDS)


def _print(findings: Findings, seconds: float) -> None:
    for note in findings.notes:
        click.echo(note)
    if findings.lagging:
        click.echo(f"{findings.lagging:,} rows do not show the newest events yet; what they show was compared")
    click.echo(
        f"folded {findings.events:,} events of {findings.aggregates:,} aggregates in {seconds:.1f} s"
        f" ({findings.events / max(seconds, 0.001):,.0f} events/s), compared {findings.rows:,} rows of read models"
        f" and {findings.snapshots:,} snapshots"
    )
    if not findings.wrong:
        click.echo("everything agrees with the log")
        return
    for difference in findings.differences:
        click.echo(f"- {difference}")
    if findings.wrong > MAX_KEPT:
        click.echo(f"- … and {findings.wrong - MAX_KEPT:,} more")
    click.echo(f"{findings.wrong:,} differences from the log")
