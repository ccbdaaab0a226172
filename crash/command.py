"""What the commands of this package have in common: a seed, a folder for what is kept, a verdict."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import click
import psycopg

from adapters.settings import Settings, SettingsError
from bench.machine import pin_broker
from crash.context import Findings, Plan
from streams.topics import TopicsError

RESULTS = Path(__file__).parents[1] / "build"

seed_option = click.option(
    "--seed", type=click.IntRange(min=0), help="Decides the faults and what people want; random by default."
)
broker_option = click.option(
    "--broker", type=click.Choice(["apache", "builtin"]), help="By default as `stagedoor up` chooses."
)


def run_and_judge(
    kind: str,
    again: str,
    seed: int | None,
    broker: str | None,
    work: Callable[[Plan], Coroutine[Any, Any, Findings]],
) -> None:
    """Runs, keeps what happened in build/KIND/SEED, says what was found, and ends with the exit code.

    Args:
        again: the command that runs it again, but for the seed.
    """
    signal.signal(signal.SIGTERM, _end)
    seed = random.SystemRandom().randrange(1_000_000) if seed is None else seed
    click.echo(f"seed {seed}")
    try:
        settings = Settings.from_environment()
        click.echo(pin_broker(replace(settings, broker=broker or settings.broker)))
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
    folder = RESULTS / kind / str(seed)
    plan = Plan(seed, folder, f"STAGEDOOR_BROKER={os.environ['STAGEDOOR_BROKER']} {again.format(seed=seed)}")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        findings = asyncio.run(work(plan))
    except (RuntimeError, OSError, psycopg.Error, TopicsError, subprocess.SubprocessError) as error:
        click.echo(f"this could not be found out: {error} | logs: {folder}", err=True)
        sys.exit(2)
    found = findings.all()
    (folder / "findings.txt").write_text("".join(f"{line}\n" for line in found))
    for line in (*findings.some(), *findings.undecided):
        click.echo(line)
    click.echo(f"{len(found) or 'nothing'} found; what happened is in {folder}")
    sys.exit(1 if found else 2 if findings.undecided else 0)


def _end(number: int, _frame: FrameType | None) -> None:
    """Ends as after an error, so that the marketplace is ended too; a second signal changes nothing."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(128 + number)
