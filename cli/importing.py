"""`stagedoor import`: a seller's listings from a CSV or JSON file, each once however often it is run."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path

import click
from click.core import ParameterSource
from rich.console import Console

from adapters.settings import Settings
from cli.account import Account
from cli.client import Client, ClientError, ProblemError
from cli.import_file import ImportFile
from cli.import_rows import BadRow, ImportFileError
from cli.import_upload import WORKERS, Summary, Upload, listings_of
from cli.meter import Meter, console
from cli.target import CannotStartError, marketplace_url, require_ready

PASSWORD_VARIABLE = "STAGEDOOR_SELLER_PASSWORD"  # noqa: S105 - its name, not its value


@dataclass(frozen=True)
class Seller:
    """Who lists; `create`: the account is made if it does not exist."""

    email: str
    password: str
    name: str
    create: bool


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--seller", "email", required=True, metavar="EMAIL", help="Whose listings they become.")
@click.option("--password-stdin", is_flag=True, help="Read the password from the first line of standard input.")
@click.option("--password", envvar=PASSWORD_VARIABLE, hidden=True)
@click.option("--create", is_flag=True, help="Make the seller's account if it does not exist.")
@click.option("--name", help="The name for --create; by default what stands before the @.")
@click.option("--url", help="The marketplace; by default the one running here.")
@click.pass_context
def import_listings(
    context: click.Context,
    *,
    file: Path,
    email: str,
    password_stdin: bool,
    password: str | None,
    create: bool,
    name: str | None,
    url: str | None,
) -> None:
    """List tickets from FILE: JSON (an array of POST /api/tickets bodies), or CSV with the columns
    title,event_name,starts_at,venue,promoter,category,amount,currency,quantity,description,hold_seconds,
    refund_until,refund_fee,resell_returned; those from description on, promoter and category may be left out.

    Every bad line is reported with its number (CSV: the line its record begins on; JSON: its index from 0) and the good
    ones are listed, once however often the import is run: rows that the seller already has (the same title, event name,
    start, venue, price and quantity) are passed over. Two equal rows in one file are two listings.

    The password comes from STAGEDOOR_SELLER_PASSWORD, from standard input, or is asked for. Exit code 0 when every row
    is listed, 1 when some were bad or the marketplace stopped answering, 2 when nothing could be begun.
    """
    if context.get_parameter_source("password") is ParameterSource.COMMANDLINE:
        raise CannotStartError(f"a password on the command line is seen by others: use {PASSWORD_VARIABLE}")
    out = console(stderr=True)
    source = ImportFile(file)
    try:
        with Meter(out, "Reading the file", None) as meter:
            total = source.count(meter)
    except ImportFileError as error:
        raise CannotStartError(f"{file}: {error}") from error
    target = marketplace_url(url, Settings.from_environment())
    secret = _password(email, password, from_stdin=password_stdin, new=create)
    seller = Seller(email, secret, name or email.partition("@")[0], create)
    summary = Summary()
    try:
        asyncio.run(_import(source, total, seller, target, summary=summary, out=out))
    except KeyboardInterrupt:
        summary.stopped = "interrupted"
        _conclude(summary)
        raise
    _conclude(summary)
    sys.exit(1 if summary.bad or summary.stopped is not None else 0)


def _conclude(summary: Summary) -> None:
    click.echo(f"imported {summary.imported}, already there {summary.already_there}, bad {summary.bad}")
    if summary.stopped is not None:
        click.echo(f"stopped before the end: {summary.stopped}; run it again to go on", err=True)


async def _import(
    source: ImportFile, total: int, seller: Seller, target: str, *, summary: Summary, out: Console
) -> None:
    def report(row: BadRow) -> None:
        text = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in "; ".join(row.faults))
        out.print(f"{row.place}: {text}", markup=False, soft_wrap=True)

    async with Client.connect(target, WORKERS) as client:
        await require_ready(client)
        account = await _sign_in(client, seller)
        try:
            with Meter(out, "Looking at the seller's listings", None) as meter:
                known = await listings_of(account, meter)
        except ClientError as error:
            raise CannotStartError(f"the seller's listings could not be read: {error}") from error
        with Meter(out, "Importing", total) as meter:
            await Upload(account, known, summary=summary, meter=meter, report=report).run(source.rows())


async def _sign_in(client: Client, seller: Seller) -> Account:
    try:
        if seller.create:
            return await Account.sign_up(client, seller.email, seller.password, seller.name)
        return await Account.sign_in(client, seller.email, seller.password)
    except ProblemError as problem:
        if problem.code != "bad_credentials":
            raise CannotStartError(f"{seller.email}: {'; '.join(problem.faults)}") from problem
        if seller.create:
            raise CannotStartError(f"{seller.email}: there is an account with another password") from problem
        raise CannotStartError(f"{seller.email}: no account with this password; --create makes one") from problem
    except ClientError as error:
        raise CannotStartError(f"{seller.email} could not sign in: {error}") from error


def _password(email: str, given: str | None, *, from_stdin: bool, new: bool) -> str:
    stdin = click.get_text_stream("stdin")
    if from_stdin:
        given = stdin.readline().rstrip("\r\n")
    elif not given and stdin.isatty():
        given = click.prompt(f"Password of {email}", hide_input=True, confirmation_prompt=new)
    if not given:
        raise CannotStartError(f"no password for {email}: set {PASSWORD_VARIABLE} or use --password-stdin")
    return given
