"""`stagedoor replay`: rebuilds read models from the event log while everything goes on running."""

from __future__ import annotations

import asyncio
import gc

import click

from adapters.database import make_pool, migrate
from adapters.event_log import EventLog
from adapters.settings import Settings, required
from cli.meter import Meter, console
from cli.running import database
from projections.models import MODELS
from projections.projection import Projection
from projections.rebuild import RebuildError, Rebuilt, rebuild

GC_THRESHOLD = 100_000
"""Events have no cycles; the collector would walk over thousands of them again and again."""


@click.command()
@click.argument("model", required=False, type=click.Choice(list(MODELS)))
def replay(model: str | None) -> None:
    """Rebuild the read models from the event log, or only MODEL. Readers see the old rows until the new are whole."""
    gc.set_threshold(GC_THRESHOLD)
    chosen = [MODELS[model]] if model else list(MODELS.values())
    with database(Settings.from_environment()) as settings:
        database_url = required(settings.database_url, "DATABASE_URL")
        migrate(database_url)
        try:
            rebuilt = asyncio.run(_rebuild(database_url, chosen))
        except RebuildError as error:
            raise click.ClickException(str(error)) from error
    rate = rebuilt.events / max(rebuilt.seconds, 0.001)
    names = ", ".join(projection.model for projection in chosen)
    click.echo(f"rebuilt {names} from {rebuilt.events:,} events in {rebuilt.seconds:.1f} s ({rate:,.0f} events/s)")
    if rebuilt.parked:
        click.echo(f"{rebuilt.parked:,} events could not be projected and are parked, with what followed them")


async def _rebuild(database_url: str, chosen: list[Projection]) -> Rebuilt:
    pool = make_pool(database_url, max_size=2)
    await pool.open(wait=True)
    try:
        log = EventLog(pool)
        with Meter(console(stderr=True), "Replaying the log", await log.end()) as meter:
            return await rebuild(pool, log, chosen, lambda position, _end: meter.to(position))
    finally:
        await pool.close()
