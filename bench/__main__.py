"""`python -m bench`: runs benchmarks, prints the table, writes the results and the curves."""

from __future__ import annotations

import os
import resource
import secrets
import signal
import sys
import tempfile
from collections.abc import Sequence
from types import FrameType

import click

from adapters.settings import Settings, SettingsError
from bench import report
from bench.figures import Plan
from bench.machine import describe, pin_broker
from bench.suite import BENCHMARKS, measure
from cli.meter import console


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", nargs=-1, metavar="[NAME]...", type=click.Choice(list(BENCHMARKS)))
@click.option("--runs", type=click.IntRange(min=1), default=Plan.runs, show_default=True, help="Medians of so many.")
@click.option(
    "--seconds", type=click.FloatRange(min=0.5), default=Plan.seconds, show_default=True, help="Of load in one run."
)
@click.option(
    "--scale",
    type=click.FloatRange(min=0, min_open=True),
    default=Plan.scale,
    show_default=True,
    help="Multiplies amounts: 0.05 for a quick look.",
)
@click.option("--check", is_flag=True, help=f"Hold results to bars {report.CHECK_MARGIN:g} times easier, for CI.")
def main(names: Sequence[str], runs: int, seconds: float, scale: float, check: bool) -> None:
    """Run the benchmarks NAME, or all of them, and compare them with their bars.

    Exit codes: 0 every bar holds, 1 one is missed or a benchmark failed, 2 used wrongly.
    """
    plan = Plan(runs, seconds, scale)
    try:
        broker = pin_broker(Settings.from_environment())
        machine = describe(broker)
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
    results = []
    for name in dict.fromkeys(names or BENCHMARKS):
        click.echo(f"{name} …", err=True)
        result = measure(name, plan)
        results.append(result)
        click.echo(f"{name}: {result.failure or 'done'} after {result.seconds:.0f} s", err=True)
        report.write(result, machine, plan)
    margin = report.CHECK_MARGIN if check else 1.0
    shown = console()
    shown.print(report.table(results, machine, plan, margin))
    shown.print(f"written to {report.results_folder(plan)}", soft_wrap=True)
    sys.exit(report.exit_code(results, margin))


def _end(number: int, _frame: FrameType | None) -> None:
    """Ends as after an error, so that what a benchmark started is ended too; a second signal changes nothing."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(128 + number)


def _allow_open_files() -> None:
    """A thousand connections are a thousand open files at both ends; many systems begin with a soft limit of 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    _allow_open_files()
    signal.signal(signal.SIGTERM, _end)
    with tempfile.NamedTemporaryFile("w", prefix="stagedoor-bench-key-") as house_key:
        # One for every marketplace that is started, so that tokens can be made for it here (`bench/people.py`).
        house_key.write(secrets.token_hex(32))
        house_key.flush()
        os.environ["STAGEDOOR_MASTER_KEY_FILE"] = house_key.name
        main()
