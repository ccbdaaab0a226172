"""`stagedoor replay [MODEL]`: make read models again from the log."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

import click
import psycopg
from psycopg_pool import AsyncConnectionPool

from adapters.database import make_pool
from adapters.event_log import EventLog
from adapters.settings import Settings, required
from cli import running
from cli.meter import Meter, console
from projections.models import MODELS
from projections.projection import Projection
from projections.rebuild import RebuildError, Rebuilt, rebuild
from projections.rebuild_compare import Comparison
from projections.rebuild_compare_lines import LineComparison
from projections.rebuild_notes import left_at

FOUND_WRONG, INTERRUPTED = 1, 130


class Interrupted(Exception):
    """SIGINT or SIGTERM came; the text says what is left."""


@click.command()
@click.argument("model", type=click.Choice(sorted(MODELS)), required=False)
@click.option("--from-start", is_flag=True, help="Do not go on with what an interrupted replay has built.")
@click.option("--dry-run", is_flag=True, help="Build and compare, but do not switch; exit code 1 if anything differs.")
def replay(model: str | None, from_start: bool, dry_run: bool) -> None:
    """Make the read model MODEL, or all of them, again from the log.

    The new version is built beside the live one, compared with it and swapped in at once; readers and the worker go on
    meanwhile. Interrupted, even killed, the next call goes on.
    """
    projections = tuple(MODELS.values()) if model is None else (MODELS[model],)
    with running.database(Settings.from_environment()) as settings:
        database_url = required(settings.database_url, "DATABASE_URL")
        try:
            rebuilt = asyncio.run(_replay(database_url, projections, from_start=from_start, dry_run=dry_run))
        except RebuildError as error:
            _end(FOUND_WRONG, f"given up, the read models are as they were: {error}")
        except Interrupted as error:
            _end(INTERRUPTED, f"interrupted; {error}")
        except asyncio.CancelledError:
            _end(INTERRUPTED, "interrupted")  # before there was anything, or once more while it was ending
        except psycopg.OperationalError as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            _end(FOUND_WRONG, f"stopped, the same command goes on with what is built: {reason}")
    _report(rebuilt, projections, dry_run=dry_run)
    different = dry_run and (len(rebuilt.compared) < len(projections) or any(map(_differs, rebuilt.compared)))
    if rebuilt.parked:
        _end(FOUND_WRONG, f"{rebuilt.parked:,} events could not be projected" + ("" if dry_run else " and are parked"))
    sys.exit(FOUND_WRONG if different else 0)


async def _replay(database_url: str, projections: Sequence[Projection], *, from_start: bool, dry_run: bool) -> Rebuilt:
    gc.disable()  # events have no cycles, and looking for some takes a third of the time of this one command
    logging.getLogger("psycopg").setLevel(logging.CRITICAL)  # what matters of a lost connection is told by us
    _hear_stops()
    async with make_pool(database_url, max_size=3) as pool:
        log = EventLog(pool)
        with Meter(console(stderr=True), "Folding the log (position)", await log.end(), rated=True) as meter:
            try:
                return await rebuild(
                    pool,
                    log,
                    projections,
                    lambda position, end: meter.to(position, total=end),
                    say=meter.say,
                    from_start=from_start,
                    dry_run=dry_run,
                )
            except asyncio.CancelledError:
                raise Interrupted(await _left(pool, projections)) from None


def _hear_stops() -> None:
    """Cancels the running task on SIGINT and SIGTERM: what the server is doing for it is cancelled too."""
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)


async def _left(pool: AsyncConnectionPool, projections: Sequence[Projection]) -> str:
    async with pool.connection() as connection:
        position = await left_at(connection, [projection.model for projection in projections])
    if position is None:
        return "nothing half-built is left"
    return f"the same command goes on from position {position:,}, --from-start begins anew"


def _report(rebuilt: Rebuilt, projections: Sequence[Projection], *, dry_run: bool) -> None:
    compared = {comparison.model: comparison for comparison in rebuilt.compared}
    for projection in projections:
        if (found := compared.get(projection.model)) is None:
            click.echo(f"{projection.model}: not compared with the live table, it took too long", err=True)
        else:
            _report_comparison(found)
    rate = (rebuilt.events - rebuilt.earlier) / max(rebuilt.seconds, 1e-9)
    names = ", ".join(projection.model for projection in projections)
    earlier = f", {rebuilt.earlier:,} of them folded before" if rebuilt.earlier else ""
    done = "built from" if dry_run else "made again from"
    click.echo(
        f"{names} {done} {rebuilt.events:,} events{earlier} in {rebuilt.seconds:.1f} s ({rate:,.0f} events/s)"
        + (", and not switched" if dry_run else "")
    )


def _report_comparison(found: Comparison) -> None:
    moving = f"; {found.moving:,} not compared: the live table is behind or ahead there" if found.moving else ""
    click.echo(
        f"{found.model}: {found.equal:,} rows equal, {found.different:,} different, {found.new:,} new,"
        f" {found.gone:,} gone{moving}"
    )
    for example in found.examples:
        what = ", ".join(example.columns) if example.kind == "different" else example.kind
        click.echo(f"  {example.id}: {what}")
    if found.differences > len(found.examples):
        click.echo(f"  and {found.differences - len(found.examples):,} more")
    if found.lines is not None:
        _report_lines(found.lines)


def _report_lines(found: LineComparison) -> None:
    every = found.counts
    click.echo(
        f"{found.table}: {every.equal:,} lines equal, {every.different:,} different, {every.new:,} new,"
        f" {every.gone:,} gone"
    )
    for one in found.examples:
        click.echo(f"  {one.id}: {one.different:,} different, {one.new:,} new, {one.gone:,} gone")
    untold = every.differences - sum(one.differences for one in found.examples)
    if untold:
        click.echo(f"  and {untold:,} lines more")


def _differs(found: Comparison) -> bool:
    return bool(found.differences or (found.lines is not None and found.lines.counts.differences))


def _end(code: int, line: str) -> NoReturn:
    click.echo(line, err=True)
    sys.exit(code)
