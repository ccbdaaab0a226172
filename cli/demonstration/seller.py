"""The demo's seller account, kept between runs so that they sell the same listings."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import msgspec

from cli.account import Account
from cli.client import Client, ProblemError

FILE_NAME = "demo-sellers.json"


class Credentials(msgspec.Struct):
    """How to sign in as the seller."""

    email: str
    password: str


class SellerBook:
    """The sellers earlier runs made, by marketplace URL. The file is its owner's alone: it holds passwords."""

    def __init__(self, file: TextIO | None) -> None:
        self._file = file

    @classmethod
    @contextmanager
    def open(cls, data_dir: Path) -> Iterator[SellerBook]:
        """The book of this data folder, for one run at a time.

        While another run has it, and where it cannot be written, the book is empty and forgets: such a run makes a
        seller of its own, and its figures do not mix with the other's.
        """
        try:
            data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(data_dir / FILE_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            yield cls(None)
            return
        with os.fdopen(descriptor, "r+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                yield cls(None)
            else:
                yield cls(file)

    def find(self, url: str) -> Credentials | None:
        """The seller an earlier run made there."""
        return self._read().get(url)

    def keep(self, url: str, credentials: Credentials) -> None:
        """Remembers the seller of this run."""
        if self._file is None:
            return
        text = msgspec.json.encode(self._read() | {url: credentials}).decode()
        self._file.seek(0)
        self._file.write(text)
        self._file.truncate()
        self._file.flush()

    def _read(self) -> dict[str, Credentials]:
        if self._file is None:
            return {}
        self._file.seek(0)
        try:
            return msgspec.json.decode(self._file.read(), type=dict[str, Credentials])
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return {}  # cut off by a crash while it was written: the next seller starts it anew


async def open_seller(client: Client, book: SellerBook) -> Account:
    """The seller of an earlier run, or a new one when there is none or the marketplace does not know it any more."""
    known = book.find(client.base_url)
    if known is not None:
        try:
            return await Account.sign_in(client, known.email, known.password)
        except ProblemError as problem:
            if problem.code != "bad_credentials":
                raise
    made = Credentials(f"demo-seller-{secrets.token_hex(6)}@example.org", secrets.token_urlsafe(18))
    account = await Account.sign_up(client, made.email, made.password, "Demo box office")
    book.keep(client.base_url, made)
    return account
