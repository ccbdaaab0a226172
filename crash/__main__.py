"""`python -m crash`: a seeded crash run on a marketplace of its own."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import FrameType

import click
import psycopg

from adapters.settings import Settings, SettingsError
from bench.machine import pin_broker
from crash.context import Plan
from crash.run import crash_run
from streams.topics import TopicsError

RESULTS = Path(__file__).parents[1] / "build" / "crash"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--seed", type=click.IntRange(min=0), help="Decides the faults and what buyers want; random by default.")
@click.option(
    "--minutes", type=click.FloatRange(min=0, min_open=True), default=3.0, show_default=True, help="Of faults."
)
@click.option("--broker", type=click.Choice(["apache", "builtin"]), help="By default as `stagedoor up` chooses.")
def main(seed: int | None, minutes: float, broker: str | None) -> None:
    """Let buyers order and pay while parts of a marketplace are killed, then look for everything that was promised.

    The seed decides which faults come in which order; what they hit depends on the moment. The history of the requests,
    the faults, the evidence and the logs are kept in build/crash/SEED/.

    Exit codes: 0 nothing was found, 1 something was, 2 used wrongly, or it could not be found out.
    """
    if seed is None:
        seed = random.SystemRandom().randrange(1_000_000)
    click.echo(f"seed {seed}")
    try:
        settings = Settings.from_environment()
        click.echo(pin_broker(replace(settings, broker=broker or settings.broker)))
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
    plan = Plan(seed, minutes, os.environ["STAGEDOOR_BROKER"], RESULTS / str(seed))
    shutil.rmtree(plan.folder, ignore_errors=True)
    plan.folder.mkdir(parents=True)
    try:
        findings = asyncio.run(crash_run(plan, click.echo))
    except (RuntimeError, OSError, psycopg.Error, TopicsError, subprocess.SubprocessError) as error:
        click.echo(f"this could not be found out: {error} | logs: {plan.folder}", err=True)
        sys.exit(2)
    found = findings.all()
    (plan.folder / "findings.txt").write_text("".join(f"{line}\n" for line in found))
    for line in (*findings.some(), *findings.undecided):
        click.echo(line)
    click.echo(f"{len(found) or 'nothing'} found; what happened is in {plan.folder}")
    sys.exit(1 if found else 2 if findings.undecided else 0)


def _end(number: int, _frame: FrameType | None) -> None:
    """Ends as after an error, so that the marketplace is ended too; a second signal changes nothing."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(128 + number)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _end)
    main()
