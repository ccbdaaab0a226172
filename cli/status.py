"""`stagedoor status`: where the log, the relay and the read models stand, on one screen."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path

import click
import msgspec
import psycopg
from psycopg_pool import AsyncConnectionPool
from rich import box
from rich.console import Console
from rich.table import Table

from adapters.database import make_pool
from adapters.event_log import EventLog
from adapters.settings import Settings, required
from api.progress import Checkpoint, Lag, Standing, read_standing
from cli import running
from cli.meter import console
from cli.running import Running
from cli.target import CannotStartError

STANDING_SECONDS = 30.0
"""Behind for so long and not moving is wrong. A worker that notices it of itself gives up after as long."""

SECOND_LOOK_SECONDS = 2.0
"""Between the looks that tell what stands still. Whatever moves, moves many times in it."""

API = "api"
EXPECTED = ("relay", "worker", API)
"""Parts that every `stagedoor up` has; servers may be elsewhere."""

_HOLDS = (
    "SELECT count(*), count(*) FILTER (WHERE expires_at <= clock_timestamp()) FROM buyer_orders"
    " WHERE status IN ('created', 'awaiting_payment')"
)


@dataclass(frozen=True)
class Part:
    """One part of a running `stagedoor up`."""

    name: str
    pid: int | None
    """None: it is not there, as while it waits for its restart."""
    lives: bool


@dataclass(frozen=True)
class Holds:
    """Orders that hold tickets, as the read model has them."""

    open: int
    past_deadline: int
    """They block nobody; the worker is to end them within seconds."""


@dataclass(frozen=True)
class Status:
    """Everything the command shows, and the form of `--json`."""

    standing: Standing
    holds: Holds
    parts: list[Part] | None
    """None: no `stagedoor up` runs on this data folder and database."""
    wrong: list[str]
    """One line each; empty when all is well."""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Write JSON instead of tables.")
def status(*, as_json: bool) -> None:
    """Show how far the relay and every read model are, and what is parked.

    Lag is counted in positions of the log, which have gaps, so there are at most so many events. Exit code 1 when
    something is wrong: a part of a running `stagedoor up` is gone, the relay is in trouble, events are parked, or the
    relay or a read model is more than 30 seconds behind and stands still.
    """
    settings = Settings.from_environment()
    with running.database(settings) as resolved:
        database_url = required(resolved.database_url, "DATABASE_URL")
        up = running.find_running(settings)
        if up is not None and up.database_url != database_url:
            up = None  # that one has another database
        # In a marketplace that is stopped everything stands still, and nothing is wrong with that.
        moves = up is not None or settings.database_url is not None
        try:
            found = asyncio.run(_look(database_url, _parts(up), moves=moves))
        except psycopg.errors.UndefinedTable:
            raise CannotStartError("the database has no schema: run `stagedoor migrate`") from None
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2))
    else:
        _show(found, settings.data_dir, console())
    sys.exit(1 if found.wrong else 0)


async def _look(database_url: str, parts: list[Part] | None, *, moves: bool) -> Status:
    async with make_pool(database_url, max_size=1) as pool:
        log = EventLog(pool)
        standing = await read_standing(pool, log)
        still: list[str] = []
        if moves and _late(standing):
            before = standing
            await asyncio.sleep(SECOND_LOOK_SECONDS)
            standing = await read_standing(pool, log)
            still = _still(before, standing)
        holds = await _holds(pool)
    gone = [f"{part.name} does not run" for part in parts or [] if not part.lives]
    return Status(standing, holds, parts, [*gone, *_trouble(standing), *still])


async def _holds(pool: AsyncConnectionPool) -> Holds:
    async with pool.connection() as connection:
        return Holds(*(await (await connection.execute(_HOLDS)).fetchall())[0])


def _parts(up: Running | None) -> list[Part] | None:
    if up is None:
        return None
    parts = [Part(name, pid, running.is_alive(pid)) for name, pid in up.parts.items()]
    kinds = {API if name.startswith(f"{API}-") else name for name in up.parts}
    return parts + [Part(name, None, lives=False) for name in EXPECTED if name not in kinds]


# What is wrong --------------------------------------------------------------------------------------------------------


def _trouble(standing: Standing) -> list[str]:
    found = []
    if standing.relay_trouble is not None:
        found.append(f"the relay publishes nothing: {standing.relay_trouble}")
    if count := sum(standing.parked.values()):
        found.append(f"{count:,} events are parked (see `stagedoor parked list`)")
    return found


def _late(standing: Standing) -> list[Lag | Checkpoint]:
    """Who may stand still: the relay, and read models in a partition where nothing was written for long."""
    relay = standing.readers[0]
    late: list[Lag | Checkpoint] = []
    if relay.seconds > STANDING_SECONDS and standing.relay_trouble is None:
        late.append(relay)
    late += [
        place
        for place in standing.checkpoints
        if place.seconds > STANDING_SECONDS and (place.age_seconds is None or place.age_seconds > STANDING_SECONDS)
    ]
    return late


def _still(before: Standing, now: Standing) -> list[str]:
    """Who was late and has not moved since."""
    places = {_name(one): one.position for one in _late(before)}
    still = [one for one in _late(now) if places.get(_name(one)) == one.position]
    lines = []
    for name in dict.fromkeys(_name(one)[0] for one in still):
        seconds = max(one.seconds for one in still if _name(one)[0] == name)
        lines.append(f"{name} stands still, up to {_duration(seconds)} behind")
    return lines


def _name(one: Lag | Checkpoint) -> tuple[str, int | None]:
    return ("the relay", None) if isinstance(one, Lag) else (one.model, one.partition)


# The screen -----------------------------------------------------------------------------------------------------------


def _show(found: Status, data_dir: Path, target: Console) -> None:
    standing, holds = found.standing, found.holds
    parked = ", ".join(f"{model} {count:,}" for model, count in standing.parked.items() if count) or "none"
    parts = "no `stagedoor up` runs here"
    if found.parts is not None:
        parts = ", ".join(f"{part.name} {part.pid if part.lives else 'GONE'}" for part in found.parts)
    for name, text in {
        "log": f"ends at position {standing.log_end:,}",
        "relay": f"trouble: {standing.relay_trouble}" if standing.relay_trouble else "no trouble",
        "parked": parked,
        "holds": f"{holds.open:,} orders hold tickets, {holds.past_deadline:,} of them past their deadline",
        "parts": f"{parts} ({data_dir})",
    }.items():
        target.print(f"{name:<8}{text}", markup=False, soft_wrap=True)
    target.print(_table(standing))
    verdict = f"Wrong: {'; '.join(found.wrong)}" if found.wrong else "All is well."
    target.print(verdict, style="red" if found.wrong else "", markup=False, soft_wrap=True)


def _table(standing: Standing) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("reader", "partition", "position", "written", "lag, events", "lag, time"):
        table.add_column(name, justify="left" if name == "reader" else "right")
    for reader in standing.readers:
        lag = "" if not reader.events else _duration(reader.seconds)
        table.add_row(reader.name, "all", f"{reader.position:,}", "", f"{reader.events:,}", lag)
        for place in standing.checkpoints:
            if place.model == reader.name:
                written = "never" if place.age_seconds is None else f"{_duration(place.age_seconds)} ago"
                lag = "" if not place.events else _duration(place.seconds)
                table.add_row("", str(place.partition), f"{place.position:,}", written, f"{place.events:,}", lag)
    return table


def _duration(seconds: float) -> str:
    """With the unit that makes it a number of two or three digits."""
    for unit, size, enough in (("d", 86_400, 2 * 86_400), ("h", 3_600, 2 * 3_600), ("min", 60, 120)):
        if seconds >= enough:
            return f"{seconds / size:,.0f} {unit}"
    return f"{seconds:.1f} s"
