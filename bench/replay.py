"""Replay: all read models from a million events, by the command itself.

`stagedoor replay` runs as a process of its own, and its start is counted. The log is a mixed past of `bench/history.py`
(listings, orders that are paid, cancelled or expire). The limit beside it is COPY of the rows of the log into an empty
table of the same shape, with its indexes, on one connection.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import chain
from statistics import median
from typing import IO

import psycopg

from bench.api_alone import database_server
from bench.figures import Bar, Figure, Plan
from bench.history import Past, long_ago, write
from bench.people import make_accounts

EVENTS = 1_000_000
EVENTS_A_PERSON = 100
CHUNK_BYTES = 1 << 20
LIMIT_SECONDS = 900.0

AGGREGATES = "SELECT count(DISTINCT originator_id) FROM stored_events"
ROWS = (
    "SELECT (SELECT count(*) FROM ticket_listing) + (SELECT count(*) FROM buyer_orders)"
    " + (SELECT count(*) FROM user_status)"
)


def run(plan: Plan) -> Sequence[Figure]:
    """One figure."""
    events = plan.scaled(EVENTS, least=1_000)
    with database_server() as new_database:
        database_url = new_database("replay")
        people = make_accounts(database_url, max(2, events // EVENTS_A_PERSON))
        past = Past(people, long_ago(events // 5))
        count = write(database_url, past, chain(past.sign_ups(), past.mixed(events - len(people))))
        runs = [(count / _replay(database_url), count / _copy(database_url)) for _ in range(plan.runs)]
    rates, limits = zip(*runs, strict=True)
    return [
        Figure(
            name=f"replay: all read models from {count:,} events",
            judged=list(rates),
            unit="events/s",
            bar=Bar(15_000, 50_000),
            figure=f"{median(rates):,.0f} events/s, {count / median(rates):.1f} s",
            limit=f"COPY {median(limits):,.0f} rows/s",
            details={"events": count, "events_per_second": list(rates), "copied_rows_per_second": list(limits)},
        )
    ]


def _replay(database_url: str) -> float:
    """Seconds of the command.

    Raises:
        RuntimeError: it failed, or the read models do not have a row for every aggregate afterwards.
    """
    command = [sys.executable, "-m", "cli.main", "replay"]
    began = time.monotonic()
    done = subprocess.run(
        command,
        env={**os.environ, "DATABASE_URL": database_url},
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    seconds = time.monotonic() - began
    if done.returncode:
        raise RuntimeError(f"stagedoor replay ended with {done.returncode}: {done.stdout}{done.stderr}")
    with psycopg.connect(database_url) as connection:
        aggregates, rows = (connection.execute(query).fetchone() for query in (AGGREGATES, ROWS))
    if aggregates != rows:
        raise RuntimeError(f"{rows} rows of {aggregates} aggregates after the replay")
    return seconds


def _copy(database_url: str) -> float:
    """Seconds to copy the log's rows into an empty table of the same shape."""
    with tempfile.TemporaryFile() as rows, psycopg.connect(database_url, autocommit=True) as connection:
        with connection.cursor().copy("COPY stored_events TO STDOUT (FORMAT BINARY)") as out:
            for data in out:
                rows.write(data)
        rows.seek(0)
        connection.execute("CREATE TABLE copied_events (LIKE stored_events INCLUDING ALL)")
        try:
            return _copy_in(connection, rows)
        finally:
            connection.execute("DROP TABLE copied_events")


def _copy_in(connection: psycopg.Connection[tuple[object, ...]], rows: IO[bytes]) -> float:
    began = time.monotonic()
    with connection.cursor().copy("COPY copied_events FROM STDIN (FORMAT BINARY)") as into:
        while data := rows.read(CHUNK_BYTES):
            into.write(data)
    return time.monotonic() - began
