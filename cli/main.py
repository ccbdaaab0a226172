"""The `stagedoor` command: every subcommand on one page, each loaded only when it is called."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from importlib.metadata import PackageNotFoundError, version

import click

from adapters.settings import Settings, SettingsError
from cli.embedded.console import PartFailedError

COMMANDS = {
    "up": ("cli.up:up", "Run the whole marketplace on this machine."),
    "demo": ("cli.demo:demo", "Fill a running marketplace with the 2026 World Cup and let buyers loose on it."),
    "import": ("cli.importing:import_listings", "List tickets from a JSON or CSV file."),
    "verify": ("cli.verify:verify", "Compare every read model and aggregate with the event log."),
    "replay": ("cli.replay:replay", "Rebuild the read models from the event log."),
    "status": ("cli.status:status", "Show how far the relay and every read model are, and what is parked."),
    "parked": ("cli.parked:parked", "List, show, retry or drop events that could not be projected."),
    "audit": ("cli.audit.commands:audit", "Show everything that happened to a ticket, an order or an account."),
    "ledger": ("cli.ledger.command:ledger", "Show the books: balances, an order's or a seller's lines, all as CSV."),
    "what-if": ("cli.what_if.command:what_if", "Replay the log under another rule and show the difference."),
    "reconcile": ("cli.reconcile:reconcile", "Compare the log with Stripe's books, and take in what it was not told."),
    "backup": ("cli.backup.commands:backup", "Write a backup of the database, with its checks."),
    "restore": ("cli.backup.commands:restore", "Put a backup in the place of the database."),
    "repair": ("cli.repair:repair", "Bring Kafka and the read models in line with the event log after a restore."),
    "admin": ("cli.admin:admin", "Make an account an administrator."),
    "keys": ("cli.keys:keys", "List, rotate or retire the keys that sign access tokens."),
    "migrate": ("cli.services:migrate", "Make or update the database schema and the Kafka topics."),
    "api": ("cli.services:api", "Run the HTTP API alone."),
    "relay": ("cli.services:relay", "Run the relay alone: event log to Kafka."),
    "worker": ("cli.services:worker", "Run the Faust worker alone: read models, deadlines, reactions."),
    "sandbox": ("cli.services:sandbox", "Run the Stripe sandbox alone."),
    "broker": ("cli.services:broker", ""),
}
"""Name → where it is, and its line in the help; without a line it is hidden."""

DONE, FOUND_WRONG, USED_WRONG, INTERRUPTED = 0, 1, 2, 130


class Table(click.Group):
    """A group that imports a command's module when the command is called, not before."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name][0].split(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items() if line])


def _version() -> str:
    try:
        return version("stagedoor")
    except PackageNotFoundError:
        return "from a source folder"


@click.command(
    cls=Table,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Settings come from the environment; see the README. Exit codes: 0 done, 1 found something wrong, "
    "2 used or set up wrongly.",
)
@click.version_option(_version(), prog_name="stagedoor")
def stagedoor() -> None:
    """A self-hosted marketplace for event tickets."""


def run(arguments: list[str]) -> int:
    """Runs one command line and returns its exit code. What the person can mend is one line on standard error."""
    code = USED_WRONG
    try:
        result = stagedoor.main(args=arguments, prog_name="stagedoor", standalone_mode=False)
        code = result if isinstance(result, int) else DONE
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
    except click.ClickException as error:
        _complain(error.format_message())
        code = error.exit_code
    except SettingsError as error:
        _complain(str(error))
    except PartFailedError as error:
        _complain(str(error))
        code = FOUND_WRONG
    except (click.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except Exception as error:
        line = _explain(error)
        if line is None:
            raise
        _complain(line)
    return code


def main() -> None:
    """The console entry point. What connects to PostgreSQL tells its name, for whoever asks who is connected."""
    os.environ.setdefault("PGAPPNAME", " ".join(["stagedoor", *sys.argv[1:2]]))
    sys.exit(run(sys.argv[1:]))


def _explain(error: Exception) -> str | None:
    """The line for a server out of reach or a port in use; None for a fault of the program."""
    from cli.embedded.reach import explain  # noqa: PLC0415 - only errors need it

    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return f"the address is in use: {error}"
    settings = Settings.from_environment()
    return explain(error, settings.database_url, settings.kafka_bootstrap_servers)


def _complain(line: str) -> None:
    print(f"stagedoor: {' '.join(line.split())}", file=sys.stderr)


if __name__ == "__main__":
    main()
