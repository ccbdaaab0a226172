"""Which marketplace a client command speaks to."""

from __future__ import annotations

from urllib.parse import urlsplit

import click

from adapters.settings import Settings, url_of
from cli.client import Client, ClientError


class CannotStartError(click.ClickException):
    """The command was used or set up wrongly: one line on standard error, exit code 2."""

    exit_code = 2


def marketplace_url(url: str | None, settings: Settings) -> str:
    """The URL asked for, else that of the marketplace running in the data folder, else that of the settings.

    Raises:
        CannotStartError: it is not an http or https URL.
        SettingsError: the data folder belongs to another user.
    """
    if url is None:
        from cli.running import find_running  # noqa: PLC0415 - not needed, and not loaded, with a URL

        running = find_running(settings)
        return running.url if running else url_of(settings.host, settings.port)
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise CannotStartError(f"--url {url!r}: expected http://… or https://…")
    return url


async def require_ready(client: Client) -> None:
    """Returns when a marketplace answers.

    Raises:
        CannotStartError: nothing answers there, or it is not ready.
    """
    try:
        await client.ready()
    except ClientError as error:
        raise CannotStartError(
            f"no marketplace is ready at {client.base_url} ({error}); start one with `stagedoor up`, or give its --url"
        ) from error
