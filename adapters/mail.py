"""Handing letters over: to a mail server (SMTP), or into a folder of files where no server is set.

Both do it on threads of their own, few of them, with every wait bounded: a mail server that hangs costs its own threads
and nothing else.
"""

from __future__ import annotations

import asyncio
import os
import smtplib
import socket
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import parseaddr
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from adapters.mail_server import MailServer
from adapters.settings import Settings

THREADS = 4
"""Letters handed over at once. A mail server takes some tenths of a second for one: ten or more a second."""

STEP_SECONDS = 10.0
"""One answer of the mail server, or the connection to it."""

SEND_SECONDS = 60.0
"""The whole conversation, of some eight steps; below the first pause between tries (`adapters/letters.py`)."""

MAX_FILES = 1_000
"""Letters in the outbox. It is for trying things out and for tests; the oldest go first."""

_PERMANENT = 500


class MailUnavailable(Exception):
    """It could not be handed over now; later it may be. The text says why, and quotes nothing of the letter."""


class Undeliverable(Exception):
    """The mail server refuses this recipient for good."""


class Mail(Protocol):
    """The way letters leave the house."""

    async def send(self, message: EmailMessage) -> None:
        """Hands a letter over. Raises `MailUnavailable`, `Undeliverable`."""

    def close(self) -> None:
        """Breaks off what is being handed over."""


def mail_of(settings: Settings) -> Mail:
    """The mail server of the settings; without one, the outbox in the data folder."""
    if settings.mail_server is None:
        return Outbox(settings.data_dir / "outbox")
    return SmtpMail(settings.mail_server, domain_of(settings.mail_from))


def domain_of(mailbox: str) -> str:
    """The domain of an address or of `Name <address>`."""
    return parseaddr(mailbox)[1].rpartition("@")[2]


class _Threads:
    """Work on a few threads, each piece within a time. Used on one event loop."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(THREADS, thread_name_prefix="mail")

    async def run(self, work: Callable[[], None]) -> None:
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await asyncio.get_running_loop().run_in_executor(self._executor, work)
        except TimeoutError:
            raise MailUnavailable("the mail server took too long") from None

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)


class SmtpMail:
    """A mail server. One connection a letter: they are few, and none is left open to go stale."""

    def __init__(self, server: MailServer, our_name: str) -> None:
        """`our_name` is the host name we say we are."""
        self._server = server
        self._our_name = our_name
        self._tls = ssl.create_default_context() if server.implicit_tls or server.starttls else None
        self._threads = _Threads()
        self._talking: set[smtplib.SMTP] = set()

    async def send(self, message: EmailMessage) -> None:
        """See `Mail`."""
        await self._threads.run(lambda: self._send(message))

    def close(self) -> None:
        """See `Mail`. A process that ends waits for its threads, so those that wait for an answer are woken."""
        self._threads.close()
        for connection in self._talking.copy():
            with suppress(OSError):
                if connection.sock is not None:
                    connection.sock.shutdown(socket.SHUT_RDWR)

    def _send(self, message: EmailMessage) -> None:
        try:
            with self._connected() as connection:
                self._talking.add(connection)
                try:
                    self._hand_over(connection, message)
                finally:
                    self._talking.discard(connection)
        except smtplib.SMTPRecipientsRefused as error:
            code = max((code for code, _ in error.recipients.values()), default=0)
            raise (Undeliverable if code >= _PERMANENT else MailUnavailable)(f"recipient refused, {code}") from None
        except smtplib.SMTPResponseException as error:
            # The server's text may quote the address, so only its code is told.
            raise MailUnavailable(f"{type(error).__name__}, {error.smtp_code}") from None
        except (OSError, smtplib.SMTPException) as error:
            raise MailUnavailable(type(error).__name__) from None

    def _hand_over(self, connection: smtplib.SMTP, message: EmailMessage) -> None:
        if self._server.starttls:
            connection.starttls(context=self._tls)
        if self._server.user is not None:
            connection.login(self._server.user, self._server.password)
        connection.send_message(message)

    def _connected(self) -> smtplib.SMTP:
        host, port = self._server.host, self._server.port
        if self._server.implicit_tls:
            return smtplib.SMTP_SSL(host, port, local_hostname=self._our_name, timeout=STEP_SECONDS, context=self._tls)
        return smtplib.SMTP(host, port, local_hostname=self._our_name, timeout=STEP_SECONDS)


class Outbox:
    """A folder of `.eml` files in place of a mail server, for its owner's eyes alone: the links in them are good."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._threads = _Threads()

    async def send(self, message: EmailMessage) -> None:
        """See `Mail`."""
        await self._threads.run(lambda: self._write(message))

    def close(self) -> None:
        """See `Mail`."""
        self._threads.close()

    def _write(self, message: EmailMessage) -> None:
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}-{uuid4().hex[:8]}"
        fresh = self._folder / f".{name}.part"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(message.as_bytes())
            fresh.rename(self._folder / f"{name}.eml")
            for old in sorted(self._folder.glob("*.eml"))[:-MAX_FILES]:
                old.unlink(missing_ok=True)
        except OSError as error:
            raise MailUnavailable(f"the outbox cannot be written: {error.strerror}") from None
