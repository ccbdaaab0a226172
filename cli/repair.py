"""`stagedoor repair [--yes]`: out of it after an older log was restored while Kafka and read models are ahead."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import click
import psycopg
from aiokafka.errors import KafkaError
from psycopg import AsyncConnection

from adapters.database import connection_options, make_pool, pending_migrations
from adapters.event_log import EventLog
from adapters.settings import Settings, required
from cli import running
from cli.backup import databases
from cli.backup.ahead import Store, look_at_store, reset
from cli.backup.erasures import came_back, erase_again
from cli.backup.figures import is_marketplace
from cli.backup.positions import advance_positions
from cli.embedded import broker_choice, folder, kafka_jars, reach
from cli.embedded.console import Console
from cli.meter import Meter, console
from cli.supervisor import Supervisor
from cli.target import CannotStartError
from projections.models import MODELS
from projections.rebuild import RebuildError, Rebuilt, rebuild
from streams.leadership import RELAY_LOCK
from streams.repair import KafkaFound, group_is_empty, look_at_kafka, make_topics_again
from streams.topics import BUILTIN_CLUSTER, TopicsError

_HOLDER = (
    "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid = 0 AND objid = %s"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


@click.command()
@click.option("--yes", is_flag=True, help="Do it; without, it is only said what is found and what would be done.")
def repair(yes: bool) -> None:
    """Bring Kafka and the read models in line with the log, after an older one was restored.

    Relay and worker must not run meanwhile. Exit code 0: nothing is to be repaired, or it was done; 1: something is.
    """
    try:
        _repair(Settings.from_environment(), yes=yes)
    except (TopicsError, KafkaError, TimeoutError) as error:
        raise click.ClickException(f"Kafka refused: {error or type(error).__name__}") from error
    except psycopg.Error as error:
        raise click.ClickException(f"the database refused: {error}") from error
    except RebuildError as error:
        raise click.ClickException(f"the read models could not be made again, run this once more: {error}") from error


def _repair(settings: Settings, *, yes: bool) -> None:
    with ExitStack() as stack:
        resolved = stack.enter_context(running.database(settings))
        database_url = required(resolved.database_url, "DATABASE_URL")
        options = connection_options(statement_timeout_ms=0)
        name = "stagedoor repair"
        store = stack.enter_context(psycopg.connect(database_url, autocommit=True, application_name=name, **options))
        _require_schema(store)
        # Held to the end, so that no relay begins meanwhile.
        alone = _try_to_be_the_relay(store)
        if yes and not alone:
            raise CannotStartError(_who_publishes(store, settings))
        found = look_at_store(store)
        servers = stack.enter_context(_kafka(settings, resolved, found, alone=alone))
        kafka = None if servers is None else asyncio.run(_look(database_url, servers))
        people = came_back(store, () if kafka is None else kafka.erased)
        problems = _problems(found, kafka, people)
        _tell(found, kafka, problems)
        if not problems:
            return
        if not yes:
            _tell_what_would_be_done(found, kafka, people)
            sys.exit(1)
        _require_no_worker(store, servers, kafka)
        position = advance_positions(store, _newest(found, kafka))
        click.echo(f"new events begin at position {position:,}")
        if people:  # before the topics go, which alone know of them
            erase_again(database_url, people)
            click.echo(f"{len(people):,} accounts that Kafka tells the erasure of are erased again")
        if _is_out_of_line(found, kafka):
            _mend(store, database_url, servers, found, kafka)
        click.echo("Done: start the marketplace.")


# Who else is at work ------------------------------------------------------------------------------------------------


def _require_schema(store: psycopg.Connection[Any]) -> None:
    if not is_marketplace(store):
        raise CannotStartError("there is nothing of a marketplace in this database")
    if pending_migrations({row[0] for row in store.execute("SELECT name FROM migrations")}):
        raise CannotStartError("the database is of an older Stagedoor: run `stagedoor migrate` first")


def _try_to_be_the_relay(store: psycopg.Connection[Any]) -> bool:
    row = store.execute("SELECT pg_try_advisory_lock(%s)", (RELAY_LOCK,)).fetchone()
    return row is not None and bool(row[0])


def _who_publishes(store: psycopg.Connection[Any], settings: Settings) -> str:
    found = running.find_running(settings)
    if found is not None:
        return f"`stagedoor up` (process {found.pid}) runs: stop it, run this again, then start it"
    pids = ", ".join(str(row[0]) for row in store.execute(_HOLDER, (RELAY_LOCK,)))
    return f"a relay is at work (server process {pids or 'gone by now'}): stop relay and worker, then run this again"


def _require_no_worker(store: psycopg.Connection[Any], servers: str | None, kafka: KafkaFound | None) -> None:
    """A worker at work would write what it still has of the topics' former content."""
    if servers is None or kafka is None or kafka.cluster.builtin:  # a broker that cannot be asked about groups
        databases.require_unused(store, store.info.dbname)
        return
    from streams.app import GROUP  # noqa: PLC0415 - Faust takes a second to load

    if not asyncio.run(group_is_empty(servers, GROUP)):
        raise CannotStartError(f"a worker is at work (the consumer group {GROUP!r} has members): stop it first")


@contextmanager
def _kafka(settings: Settings, resolved: Settings, found: Store, *, alone: bool) -> Iterator[str | None]:
    """The bootstrap servers of the Kafka that the log is published to, the embedded one started for the `with` block;
    None: it keeps nothing when it ends, so there is nothing to look at.

    Raises:
        CannotStartError: the embedded one is not running, and may not be started beside what runs.
        SettingsError: it is out of reach, or it is not known where it is.
    """
    if resolved.kafka_bootstrap_servers is not None:
        reach.require_kafka(resolved.kafka_bootstrap_servers)
        yield resolved.kafka_bootstrap_servers
        return
    embedded = settings.database_url is None
    kept = _kept_cluster(settings.data_dir)
    if kept is not None and (embedded or kept == found.cluster):
        if not alone:
            raise CannotStartError("a relay or another repair is at work on this database: end it first")
        with _embedded_kafka(settings, lock=not embedded) as address:
            yield address
    elif embedded or (found.cluster or BUILTIN_CLUSTER).startswith(BUILTIN_CLUSTER):
        yield None
    else:
        yield required(None, "KAFKA_BOOTSTRAP_SERVERS")


def _kept_cluster(data_dir: Path) -> str | None:
    """The id of the Apache Kafka in the data folder; None: there is none."""
    try:
        return (data_dir / "kafka" / "cluster-id").read_text()
    except OSError:
        return None


@contextmanager
def _embedded_kafka(settings: Settings, *, lock: bool) -> Iterator[str | None]:
    """The Apache Kafka of the data folder; None where it cannot run (any more).

    Args:
        lock: hold the data folder; otherwise whoever runs the database in it holds it already.
    """
    from cli.embedded import apache_kafka  # noqa: PLC0415 - the container image has no librdkafka

    libs = apache_kafka.libs_folder(settings.data_dir, settings.kafka_libs)
    if not broker_choice.choose(settings.broker, libs).apache:
        yield None
        return
    talk = Console(sys.stderr)
    with ExitStack() as stack:
        if lock:
            stack.enter_context(folder.lock_folder(settings.data_dir))
        supervisor = Supervisor(talk, settings.data_dir / "logs")
        stack.callback(supervisor.stop)
        kafka_jars.fetch(libs, supervisor, talk)
        address = apache_kafka.prepare(settings.data_dir, libs, supervisor)
        supervisor.start(apache_kafka.part(settings.data_dir, libs, address, talk))
        yield address


async def _look(database_url: str, servers: str) -> KafkaFound:
    async with await AsyncConnection.connect(database_url, autocommit=True, **connection_options()) as connection:
        return await look_at_kafka(servers, connection)


# What is found ------------------------------------------------------------------------------------------------------


def _problems(found: Store, kafka: KafkaFound | None, people: Sequence[UUID]) -> list[str]:
    problems = []
    if people:
        problems.append(f"{len(people):,} accounts are there again that were erased after the backup")
    if kafka is not None and kafka.untrue is not None:
        problems.append(f"Kafka tells what did not happen: {kafka.untrue}")
    if found.relay_position > found.log_end:
        problems.append(f"the log ends at position {found.log_end:,}, but was published up to {found.relay_position:,}")
    problems += [f"{count:,} {kind} are of events that the log does not have" for kind, count in found.ahead.items()]
    return problems


def _is_out_of_line(found: Store, kafka: KafkaFound | None) -> bool:
    """Whether Kafka or the read models are; not if it is only people who are back."""
    return _is_published_wrong(found, kafka) or bool(found.ahead)


def _is_published_wrong(found: Store, kafka: KafkaFound | None) -> bool:
    """Whether the topics have to begin anew; else it is only the database's own tables."""
    return found.relay_position > found.log_end or (kafka is not None and kafka.untrue is not None)


def _tell(found: Store, kafka: KafkaFound | None, problems: list[str]) -> None:
    click.echo(f"log      ends at position {found.log_end:,}")
    trouble = "" if found.trouble is None else f"; it stands still: {found.trouble}"
    click.echo(f"relay    has published up to position {found.relay_position:,}{trouble}")
    if kafka is None:
        click.echo("Kafka    keeps nothing while the marketplace does not run: not looked at")
    else:
        click.echo(f"Kafka    {kafka.cluster.id}, the last event it has is of position {kafka.newest:,}")
    for problem in problems:
        click.echo(problem)
    if not problems:
        click.echo("Nothing is to be repaired.")


def _tell_what_would_be_done(found: Store, kafka: KafkaFound | None, people: Sequence[UUID]) -> None:
    click.echo("`stagedoor repair --yes`, with relay and worker stopped, will")
    click.echo(f"  let new events begin behind position {_newest(found, kafka):,}")
    if people:
        click.echo(f"  erase {len(people):,} accounts again")
    if not _is_out_of_line(found, kafka):
        return
    if _is_published_wrong(found, kafka):
        builtin = kafka is None or kafka.cluster.builtin
        click.echo(
            "  let the relay begin with the log anew; the built-in broker forgets its topics when it ends"
            if builtin
            else "  delete the three topics and make them again, empty; the relay fills them from the log"
        )
    click.echo(f"  make {', '.join(MODELS)} again from the log")


def _newest(found: Store, kafka: KafkaFound | None) -> int:
    """The highest position that anybody may have seen."""
    return max(found.log_end, found.newest, 0 if kafka is None else kafka.newest)


# What is done -------------------------------------------------------------------------------------------------------


def _mend(
    store: psycopg.Connection[Any], database_url: str, servers: str | None, found: Store, kafka: KafkaFound | None
) -> None:
    """Does it all. Ended half-way, it can be run again: what Kafka knew of positions is safe before the topics go."""
    anew = _is_published_wrong(found, kafka)
    builtin = kafka is not None and kafka.cluster.builtin
    if anew and servers is not None and not builtin:
        asyncio.run(make_topics_again(servers))
        click.echo("the topics were made again, empty; the relay fills them from the log")
    reset(store, relay=anew)
    rebuilt = asyncio.run(_rebuild(database_url))
    click.echo(f"{', '.join(MODELS)} made again from {rebuilt.events:,} events")
    if rebuilt.parked:
        click.echo(f"{rebuilt.parked:,} events could not be projected and are parked", err=True)
    if anew and builtin:
        click.echo("Restart the built-in broker before anything else: what it has is forgotten then.")
    if anew:
        click.echo("Consumers of the topics have to begin anew too: see docs/backup.md.")


async def _rebuild(database_url: str) -> Rebuilt:
    async with make_pool(database_url, max_size=3) as pool:
        log = EventLog(pool)
        with Meter(console(stderr=True), "Folding the log (position)", await log.end()) as meter:
            # An unfinished one may have read what is not in the log any more.
            return await rebuild(pool, log, MODELS.values(), lambda position, _end: meter.to(position), from_start=True)
