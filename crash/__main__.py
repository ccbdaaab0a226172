"""`python -m crash`: a seeded crash run on a marketplace of its own."""

from __future__ import annotations

import click

from crash.command import broker_option, run_and_judge, seed_option
from crash.run import crash_run


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@seed_option
@click.option(
    "--minutes", type=click.FloatRange(min=0, min_open=True), default=3.0, show_default=True, help="Of faults."
)
@broker_option
def main(seed: int | None, minutes: float, broker: str | None) -> None:
    """Let buyers order and pay while parts of a marketplace are killed, then look for everything that was promised.

    The seed decides which faults come in which order; what they hit depends on the moment. The history of the requests,
    the faults, the evidence and the logs are kept in build/crash/SEED/.

    Exit codes: 0 nothing was found, 1 something was, 2 used wrongly, or it could not be found out.
    """
    again = f"make crash SEED={{seed}} MINUTES={minutes:g}"
    run_and_judge("crash", again, seed, broker, lambda plan: crash_run(plan, minutes, click.echo))


if __name__ == "__main__":
    main()
