"""`python -m crash.money`: random orders through faults, whose money has to add up to the last cent."""

from __future__ import annotations

import click

from crash.command import broker_option, run_and_judge, seed_option
from crash.money.run import money_run


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@seed_option
@click.option("--orders", type=click.IntRange(min=1), default=10_000, show_default=True)
@broker_option
def main(seed: int | None, orders: int, broker: str | None) -> None:
    """Let buyers pay, sellers refund and banks ask money back while parts of a marketplace are killed, then count.

    In the end the ledger has to come to zero for every event and every buyer, and to the provider's own balance.

    Exit codes: 0 nothing was found, 1 something was, 2 used wrongly, or it could not be found out.
    """
    again = f"make money SEED={{seed}} ORDERS={orders}"
    run_and_judge("money", again, seed, broker, lambda plan: money_run(plan, orders, click.echo))


if __name__ == "__main__":
    main()
