"""Sends the letters that wait. Every API process does: the row locks of the queue give each letter to one of them.

It is no part of any request: a mail server that is away or slow is waited for here.
"""

from __future__ import annotations

import asyncio
import logging

import psycopg

from adapters.accounts import Accounts
from adapters.letters import LINKS, MAX_TRIES, DueLetter, Letters
from adapters.mail import THREADS, Mail, MailUnavailable, Undeliverable
from adapters.settings import Settings
from api.letter_texts import letter as written
from domain.records import Account

log = logging.getLogger(__name__)

IDLE_SECONDS = 1.0
"""Between looks when there was nothing to send: nobody has opened their mail sooner."""

AWAY_SECONDS = 5.0
"""After the database did not answer."""


class PostOffice:
    """The task that sends. Used on one event loop."""

    def __init__(self, letters: Letters, accounts: Accounts, mail: Mail, settings: Settings) -> None:
        self._letters = letters
        self._accounts = accounts
        self._mail = mail
        self._sender = settings.mail_from
        self._public_url = settings.public_url
        self._failing = False

    async def run(self) -> None:
        """Sends until cancelled; what is being sent then is sent again after its pause."""
        while True:
            try:
                due = await self._letters.claim(THREADS)
            except psycopg.Error as error:
                self._complain(type(error).__name__)
                await asyncio.sleep(AWAY_SECONDS)
                continue
            await asyncio.gather(*(self._try(one) for one in due))
            if not due:
                await asyncio.sleep(IDLE_SECONDS)

    async def _try(self, due: DueLetter) -> None:
        """One try; never raises. With the database away the letter comes up again after its pause."""
        try:
            reason = await self._not_sent_because(due)
            if reason is None:
                await self._letters.done(due)
            else:
                await self._put_back(due, reason)
        except psycopg.Error as error:
            self._complain(type(error).__name__)

    async def _not_sent_because(self, due: DueLetter) -> str | None:
        """Sends it. None: it is sent, or never to be sent."""
        try:
            await self._send(due)
        except psycopg.Error:
            raise
        except Undeliverable as error:
            log.warning("letter %s (%s) cannot be delivered: %s", due.letter_id, due.kind, error)
        except MailUnavailable as error:
            return str(error)
        except Exception as error:
            log.exception("letter %s (%s) was not sent", due.letter_id, due.kind)
            return type(error).__name__
        return None

    async def _send(self, due: DueLetter) -> None:
        """Whom a letter is for is looked up now: accounts change while letters wait."""
        account = await self._account_of(due)
        if account is None or (due.kind == "verify_email" and account.email_verified):
            return
        token, purpose = None, LINKS.get(due.kind)
        if purpose is not None:
            token = await self._letters.new_link(account.user_id, purpose)
            again = await self._account_of(due)
            if again is None or again.user_id != account.user_id:
                return
            account = again
        recipient = due.recipient or account.email
        try:
            message = written(due.kind, recipient, sender=self._sender, public_url=self._public_url, token=token)
        except ValueError:
            raise Undeliverable("the address cannot be written in a letter") from None
        await self._mail.send(message)
        self._failing = False

    async def _account_of(self, due: DueLetter) -> Account | None:
        if due.user_id is not None:
            return await self._accounts.by_id(due.user_id)
        assert due.recipient is not None, "a letter is for an account or for an address"
        return await self._accounts.by_email(due.recipient)

    async def _put_back(self, due: DueLetter, reason: str) -> None:
        """It is tried again later, but for the last try."""
        self._complain(reason)
        if due.tries < MAX_TRIES:
            await self._letters.failed(due, reason)
            return
        log.error("letter %s (%s) is given up after %d tries: %s", due.letter_id, due.kind, due.tries, reason)
        await self._letters.done(due)

    def _complain(self, reason: str) -> None:
        """Said once, until a letter is sent again."""
        if not self._failing:
            log.warning("letters are not sent: %s", reason)
        self._failing = True
