"""`stagedoor replay [MODEL]`: make read models again from the log."""

from __future__ import annotations

import asyncio
import gc
import sys

import click

from adapters.database import make_pool
from adapters.event_log import EventLog
from adapters.settings import Settings, required
from cli import running
from cli.meter import Meter, console
from projections.models import MODELS
from projections.projection import Projection
from projections.rebuild import RebuildError, Rebuilt, rebuild


@click.command()
@click.argument("model", type=click.Choice(sorted(MODELS)), required=False)
def replay(model: str | None) -> None:
    """Make the read model MODEL, or all of them, again from the log.

    The new version is built beside the live one and swapped in at once; readers and the worker go on meanwhile.
    """
    projections = tuple(MODELS.values()) if model is None else (MODELS[model],)
    with running.database(Settings.from_environment()) as settings:
        try:
            rebuilt = asyncio.run(_replay(required(settings.database_url, "DATABASE_URL"), projections))
        except RebuildError as error:
            click.echo(f"given up, the read models are as they were: {error}", err=True)
            sys.exit(1)
    rate = rebuilt.events / max(rebuilt.seconds, 1e-9)
    names = ", ".join(projection.model for projection in projections)
    click.echo(f"{names} made again from {rebuilt.events:,} events in {rebuilt.seconds:.1f} s ({rate:,.0f} events/s)")
    if rebuilt.parked:
        click.echo(f"{rebuilt.parked:,} events could not be projected and are parked", err=True)
        sys.exit(1)


async def _replay(database_url: str, projections: tuple[Projection, ...]) -> Rebuilt:
    gc.disable()  # events have no cycles, and looking for some takes a third of the time of this one command
    async with make_pool(database_url, max_size=3) as pool:
        log = EventLog(pool)
        with Meter(console(stderr=True), "Folding the log (position)", await log.end()) as meter:
            return await rebuild(pool, log, projections, lambda position, _end: meter.to(position))
