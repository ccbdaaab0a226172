"""`stagedoor demo`: the 2026 World Cup on sale, with buyers."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import click

from adapters.settings import Settings
from cli.demonstration.report import figures, show
from cli.demonstration.run import Wanted, run
from cli.meter import console
from cli.target import CannotStartError, marketplace_url


@click.command()
@click.option("--buyers", type=click.IntRange(1, 10_000), default=200, show_default=True, help="How many people buy.")
@click.option("--seconds", type=click.FloatRange(1, 86_400), default=30, show_default=True, help="For how long.")
@click.option(
    "--hold-seconds",
    type=click.IntRange(1, 3600),
    default=10,
    show_default=True,
    help="How long an order may stay unpaid: short, so that expiry is seen.",
)
@click.option("--url", help="The marketplace; by default the one running here.")
@click.option("--all", "every_match", is_flag=True, help="Show every match in the table, not only the best sold.")
@click.option(
    "--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures there too."
)
def demo(
    *, buyers: int, seconds: float, hold_seconds: int, url: str | None, every_match: bool, json_file: Path | None
) -> None:
    """Fill a running marketplace with the 104 matches of the 2026 World Cup and let buyers loose on it.

    They compete for the big matches, pay, are declined, cancel or walk away. At the end it is checked that every ticket
    is accounted for: exit code 0 when everything adds up, 1 with the differences when not, 2 when no marketplace
    answers. A later run sells the same listings; its seller's password is kept in the data folder.
    """
    settings = Settings.from_environment()
    wanted = Wanted(marketplace_url(url, settings), buyers, seconds, hold_seconds, settings.data_dir)
    out = console()
    result = asyncio.run(run(wanted, out))
    show(result, out, every_match=every_match)
    if json_file is not None:
        try:
            json_file.write_text(json.dumps(figures(result), indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise CannotStartError(f"{json_file} cannot be written: {error.strerror}") from error
    sys.exit(1 if result.differences else 0)
