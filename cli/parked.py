"""`stagedoor parked`: what to do about events that could not be projected."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from uuid import UUID

import click
import msgspec
import psycopg

from adapters.database import make_pool
from adapters.event_log import EventLog
from adapters.settings import Settings, required
from cli import running
from cli.meter import Meter, console
from cli.target import CannotStartError
from projections.models import MODELS
from projections.parked import MAX_AGGREGATES, ParkedEvent, ParkedEvents, Place, Retried

NO_ID = "none"
"""Stands for an aggregate's id where a message's key is no id."""

MAX_EVENTS_SHOWN = 100
"""Of one aggregate. What follows the first is waiting for it, and seldom wrong itself."""

MAX_CONTENT_SHOWN = 10_000
"""Characters of one event. An event of ours has some hundred; what somebody else sends can be a megabyte."""

T = TypeVar("T")


class _AggregateId(click.ParamType):
    """A UUID, or `none`."""

    name = "aggregate id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> UUID | str:
        if value == NO_ID:
            return NO_ID
        try:
            return UUID(value)
        except ValueError:
            self.fail(f"{value!r} is neither an id nor {NO_ID!r}", param, ctx)


_AGGREGATE_ID = _AggregateId()


@click.group()
def parked() -> None:
    """List, show, retry or drop events that could not be projected.

    An event that a read model cannot apply is parked, with all that follows for its aggregate; others flow on. The
    event itself stays in the log.
    """


@parked.command("list")
@click.option("--model", help="Of this read model only.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def list_parked(model: str | None, *, as_json: bool) -> None:
    """List the aggregates with parked events, a line each."""
    found = _run(lambda lot: lot.stuck(model))
    if not found:
        _require_model(model)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2))
        return
    for stuck in found:
        since = "" if stuck.first_sequence is None else f" from event {stuck.first_sequence} on"
        what = f"{stuck.events:,} parked{since}, {stuck.parked_at:%Y-%m-%dT%H:%M:%SZ}"
        click.echo(f"{_title(stuck.model, stuck.aggregate_id)}: {what}: {_line(stuck.error)}")
    click.echo(f"{sum(stuck.events for stuck in found):,} events of {len(found):,} aggregates are parked")
    if len(found) == MAX_AGGREGATES:
        click.echo("there are more", err=True)


@parked.command()
@click.argument("model")
@click.argument("aggregate_id", type=_AGGREGATE_ID)
def show(model: str, aggregate_id: UUID | str) -> None:
    """Show each parked event of an aggregate: its error and its content.

    AGGREGATE_ID is `none` for messages whose key is no id.
    """
    place = _place(model, aggregate_id)
    events = _run(lambda lot: lot.events(place, MAX_EVENTS_SHOWN + 1))
    if not events:
        raise _nothing_parked(place)
    for event in events[:MAX_EVENTS_SHOWN]:
        _show_event(event)
    if len(events) > MAX_EVENTS_SHOWN:
        click.echo("more events follow")


@parked.command()
@click.argument("model", required=False)
@click.argument("aggregate_id", type=_AGGREGATE_ID, required=False)
def retry(model: str | None, aggregate_id: UUID | str | None) -> None:
    """Apply parked events again: all, those of a read model, or those of one aggregate.

    They are taken from the log, in order, so it does not matter what was parked. What fails again stays parked with
    the new error, and the exit code is 1. The worker may go on meanwhile.
    """
    wanted = None if model is None or aggregate_id is None else _place(model, aggregate_id)
    results = _run(lambda lot: _retry(lot, model, wanted))
    if not results:
        _require_model(model)
    failed = [result for result in results if result.error is not None]
    for result in results:
        click.echo(f"{_title(result.model, result.aggregate_id)}: {_outcome(result)}", err=result.error is not None)
    click.echo(f"{len(results) - len(failed):,} aggregates are parked no more, {len(failed):,} still are")
    if len(results) == MAX_AGGREGATES:
        click.echo("there may be more: run it again", err=True)
    sys.exit(1 if failed or len(results) == MAX_AGGREGATES else 0)


@parked.command()
@click.argument("model")
@click.argument("aggregate_id", type=_AGGREGATE_ID)
@click.option("--yes", is_flag=True, help="Do it; without this it is not done.")
def drop(model: str, aggregate_id: UUID | str, *, yes: bool) -> None:
    """Take away for good what is parked of an aggregate.

    This is for messages that are not ours: under a key that is no id (AGGREGATE_ID is `none`), of an aggregate that
    the log does not have, or on the wrong topic.

    It skips no event of the log. The row stays as it is and nothing is marked as seen: the next event of that
    aggregate finds a gap, which is filled from the log, and if an event in it still cannot be applied, what comes is
    parked again. Until then the row is old and nothing says so but `stagedoor verify`. For events of ours use
    `stagedoor parked retry`, with a version of the program that can apply them.
    """
    place = _place(model, aggregate_id)
    if not yes:
        raise CannotStartError(f"this takes away for good what is parked of {_title(*place)}; say --yes to do it")
    dropped = _run(lambda lot: lot.drop(place))
    if not dropped.events:
        raise _nothing_parked(place)
    click.echo(f"{_title(*place)}: {dropped.events:,} parked events were taken away")
    if dropped.behind:
        click.echo(
            f"the row stays at version {dropped.version}, and the log has more events of it: the next one that comes"
            " makes the worker read them all from the log",
            err=True,
        )


def _run(work: Callable[[ParkedEvents], Awaitable[T]]) -> T:
    """Does the work on the database that the settings name, or a running `stagedoor up` has."""

    async def opened(database_url: str) -> T:
        async with make_pool(database_url, max_size=1) as pool:
            return await work(ParkedEvents(pool, EventLog(pool)))

    with running.database(Settings.from_environment()) as settings:
        try:
            return asyncio.run(opened(required(settings.database_url, "DATABASE_URL")))
        except psycopg.errors.UndefinedTable:
            raise CannotStartError("the database has no schema: run `stagedoor migrate`") from None
        except psycopg.errors.QueryCanceled:
            raise click.ClickException("the database took too long; does a `stagedoor replay` run?") from None


async def _retry(lot: ParkedEvents, model: str | None, wanted: Place | None) -> list[Retried]:
    if wanted is None:
        places = [(stuck.model, stuck.aggregate_id) for stuck in await lot.stuck(model)]
    elif await lot.events(wanted, limit=1):
        places = [wanted]
    else:
        raise _nothing_parked(wanted)
    if not places:
        return []
    with Meter(console(stderr=True), "Applying what is parked (aggregates)", len(places)) as meter:
        return await lot.retry(places, meter.to)


def _outcome(result: Retried) -> str:
    applied = f"{result.applied:,} parked events are in the row, which is at version {result.version}"
    if result.error is None:
        return applied
    still = f"{result.left:,} still parked: {_line(result.error)}"
    return f"{applied}; {still}" if result.applied else still


def _show_event(event: ParkedEvent) -> None:
    where = f"{event.topic}/{event.partition} offset {event.kafka_offset}"
    place = "met in the log" if event.partition is None else where
    click.echo(f"event {event.sequence or '?'}, position {event.position or '?'}, {place}, parked {event.parked_at}")
    click.echo(f"  {_line(event.error)}")
    content = _content(event.raw)
    click.echo("\n".join(f"  {line}" for line in content[:MAX_CONTENT_SHOWN].split("\n")))
    if len(content) > MAX_CONTENT_SHOWN:
        click.echo(f"  … {len(content) - MAX_CONTENT_SHOWN:,} characters more")


def _content(raw: bytes) -> str:
    """JSON laid out for people; of anything else, its bytes as Python writes them."""
    try:
        return _printable(msgspec.json.format(raw, indent=2).decode())
    except (msgspec.DecodeError, UnicodeDecodeError):
        return repr(raw)


def _line(text: str) -> str:
    return _printable(" ".join(text.split()))


def _printable(text: str) -> str:
    """Without what would command a terminal: anybody who can write to the topic may have put it there."""
    return "".join(one if one.isprintable() or one == "\n" else ascii(one)[1:-1] for one in text)


def _title(model: str, aggregate_id: UUID | None) -> str:
    return f"{_printable(model)} {aggregate_id or NO_ID}"


def _place(model: str, aggregate_id: UUID | str) -> Place:
    return model, aggregate_id if isinstance(aggregate_id, UUID) else None


def _nothing_parked(place: Place) -> CannotStartError:
    return CannotStartError(f"nothing is parked of {_title(*place)}")


def _require_model(model: str | None) -> None:
    """Tells a name that is mistyped from a read model of which nothing is parked."""
    if model is not None and model not in MODELS:
        raise CannotStartError(f"there is no read model {model!r}; there are {', '.join(sorted(MODELS))}")
