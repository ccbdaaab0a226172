"""One row of an import file: the body of its `POST /api/tickets`, or what is wrong with it."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cli.contract import Ticket

NEEDED: dict[str, type] = {
    "title": str,
    "event.name": str,
    "event.starts_at": str,
    "event.venue": str,
    "price.amount": int,
    "price.currency": str,
    "quantity": int,
}
"""What every body must have for the import to know the listing again; the marketplace checks the rest."""

TYPE_NAMES = {str: "text", int: "a whole number"}
KEY_BYTES = 16


class ImportFileError(Exception):
    """The file as a whole cannot be imported; the text is one line for its owner."""


@dataclass(frozen=True)
class GoodRow:
    """A body that may be sent. `place` is where it stands in the file: `line 7` or `index 3`."""

    place: str
    body: dict[str, Any]
    identity: bytes
    """The same for every row and listing that offer the same thing."""


@dataclass(frozen=True)
class BadRow:
    """A row that is not sent, with everything found wrong in it."""

    place: str
    faults: tuple[str, ...]


Row = GoodRow | BadRow


def checked(place: str, body: object) -> Row:
    """The row, after the checks that need no marketplace: the fields are there and have the right types."""
    if not isinstance(body, dict):
        return BadRow(place, ("not an object",))
    if not _is_sendable(body):
        return BadRow(place, ("has a number or half a character that no JSON can carry",))
    faults = tuple(fault for path, kind in NEEDED.items() if (fault := _fault(body, path, kind)))
    if faults:
        return BadRow(place, faults)
    starts_at = _moment(body["event"]["starts_at"])
    if starts_at is None:
        return BadRow(place, (f"event.starts_at: {not_a_time(body['event']['starts_at'])}",))
    event, price = body["event"], body["price"]
    identity = _identity(
        body["title"], event["name"], starts_at, event["venue"], price["amount"], price["currency"], body["quantity"]
    )
    return GoodRow(place, body, identity)


def identity_of(ticket: Ticket) -> bytes:
    """The identity of the row this listing would come from."""
    event, price = ticket.event, ticket.price
    return _identity(
        ticket.title, event.name, event.starts_at, event.venue, price.amount, price.currency, ticket.quantity
    )


def idempotency_key(seller_id: str, row: GoodRow, number: int) -> str:
    """The key under which the `number`-th row of one identity is sent: the same whenever the same file is imported."""
    text = json.dumps([seller_id, number, row.body], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=KEY_BYTES).hexdigest()


def not_a_time(text: str) -> str:
    """The fault of a text that is no moment."""
    return f"{text[:40]!r} is not a time with its offset, like 2026-06-11T19:00:00Z"


def _identity(*parts: str | int | datetime) -> bytes:
    plain = [part.astimezone(UTC).isoformat() if isinstance(part, datetime) else _plain(part) for part in parts]
    return hashlib.blake2b(json.dumps(plain).encode(), digest_size=KEY_BYTES).digest()


def _plain(part: str | int) -> str | int:
    """Text as it compares equal after the marketplace has stored it: without outer blanks, in one Unicode form."""
    return unicodedata.normalize("NFC", part.strip()) if isinstance(part, str) else part


def _is_sendable(body: object) -> bool:
    """Whether it can go over the wire as it is: JSON read here may hold `1e999` and lone surrogates."""
    try:
        json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        return False
    return True


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None


def _fault(body: Mapping[str, Any], path: str, kind: type) -> str | None:
    value: Any = body
    for name in path.split("."):
        if not isinstance(value, dict) or value.get(name) is None:
            return f"{path}: is missing"
        value = value[name]
    if type(value) is not kind:  # not isinstance: True would pass for a number
        return f"{path}: is not {TYPE_NAMES[kind]}"
    return f"{path}: is empty" if isinstance(value, str) and not value.strip() else None
