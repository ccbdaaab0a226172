"""`stagedoor backup FOLDER` and `stagedoor restore BACKUP`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from adapters.house_key import path_of
from adapters.settings import Settings, required
from cli import running
from cli.backup import manifest
from cli.backup.dump import make_backup, require_free
from cli.backup.manifest import Manifest
from cli.backup.restoring import Restored, restore_backup
from cli.embedded.console import Console
from cli.target import CannotStartError


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
def backup(folder: Path) -> None:
    """Write a backup of the database to the new FOLDER.

    The marketplace may run meanwhile; the backup shows one moment of it. It holds personal data and is readable by its
    owner alone.
    """
    target = folder.absolute()
    require_free(target)
    with running.database(Settings.from_environment()) as settings:
        database_url = required(settings.database_url, "DATABASE_URL")
        made = make_backup(database_url, target, settings.data_dir, Console(sys.stderr))
        house_key = path_of(settings)
    click.echo(f"{folder}: {_told(made)}, {made.size / 1e6:,.1f} MB in {len(made.files)} files")
    click.echo(f"not in it: the house key {house_key}, without which no account can be read; keep a copy elsewhere")


@click.command()
@click.argument("backup", type=click.Path(path_type=Path))
@click.option("--yes", is_flag=True, help="Do not ask.")
def restore(backup: Path, yes: bool) -> None:
    """Put BACKUP in the place of the database.

    Nothing may run on the database. It is restored beside it, compared with its manifest and swapped in; the database
    that was there is kept under another name.
    """
    settings = Settings.from_environment()
    found = manifest.read(backup)
    _require_stopped(settings)
    click.echo(f"{backup}: {_told(found)}")
    _require_consent(yes)
    with running.database(settings, create=True) as resolved:
        database_url = required(resolved.database_url, "DATABASE_URL")
        done = restore_backup(database_url, backup, found, resolved, Console(sys.stderr))
    _tell(done)


def _told(made: Manifest) -> str:
    figures = made.database
    accounts = figures.rows.get("accounts", 0)
    return (
        f"the database as of {made.made_at:%Y-%m-%d %H:%M:%S} UTC, {figures.events:,} events up to position"
        f" {figures.log_end:,}, {accounts:,} accounts"
    )


def _require_stopped(settings: Settings) -> None:
    found = running.find_running(settings)
    if found is not None and settings.database_url in (None, found.database_url):
        raise CannotStartError(f"`stagedoor up` (process {found.pid}) runs on this database: stop it first")


def _require_consent(yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise CannotStartError("nothing was done: say --yes to put it in the place of the present database")
    click.confirm("Put it in the place of the present database, which is kept under another name?", abort=True)


def _tell(done: Restored) -> None:
    click.echo(f"restored; the former database is kept as {done.former} (drop it when you are sure)")
    click.echo(f"new events begin at position {done.next_position:,}; everybody has to sign in again")
    if done.erased is None:
        click.echo("whoever was erased after the backup is back: `stagedoor repair` finds them where Kafka still knows")
    elif done.erased:
        click.echo(f"{done.erased:,} accounts that were erased after the backup are erased again")
    click.echo("Next:")
    if done.pending:
        click.echo("  stagedoor migrate    the backup is of an older Stagedoor")
    click.echo(
        "  stagedoor repair     tells whether Kafka has seen events after this backup. If it has, the relay publishes\n"
        "                       nothing until `stagedoor repair --yes`; do it before orders are taken\n"
        "  stagedoor verify     compares everything with the log"
    )
