"""Cursors: where a page ended, as an opaque string. Clients hand them back, and may do nothing else with them."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime
from hashlib import blake2b
from typing import Any, TypeAlias, TypeVar
from uuid import UUID

import msgspec

SortValue: TypeAlias = datetime | int | str
V = TypeVar("V", datetime, int, str)

_CHECK_BYTES = 6
_MAX_CURSOR = 4_096
"""Characters: a title of 200 characters and its envelope need less."""

_LARGEST_INT = 2**63 - 1
"""Of PostgreSQL's `bigint`."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(tuple[str, Any, UUID]).decode


class BadCursor(ValueError):
    """It was not made by this server for this order of the list, or was changed on the way."""


def encode_cursor(sort: str, value: SortValue, row_id: UUID) -> str:
    """The place behind one row of a list that is sorted by `sort`, then by id."""
    payload = _encode((sort, value, row_id))
    return urlsafe_b64encode(_check(payload) + payload).decode().rstrip("=")


def decode_cursor(cursor: str, sort: str, kind: type[V]) -> tuple[V, UUID]:
    """The sort value and id of the row behind which the next page begins.

    Raises:
        BadCursor: see there.
    """
    if len(cursor) > _MAX_CURSOR:
        raise BadCursor("too long for a cursor")
    try:
        raw = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        check, payload = raw[:_CHECK_BYTES], raw[_CHECK_BYTES:]
        made_for, found, row_id = _decode(payload)
        value = msgspec.convert(found, kind)
    except (ValueError, msgspec.MsgspecError) as error:
        raise BadCursor("not a cursor of this list") from error
    if check != _check(payload) or made_for != sort or not _is_storable(value):
        raise BadCursor("not a cursor of this list")
    return value, row_id


def _is_storable(value: SortValue) -> bool:
    """Whether PostgreSQL has such a value at all; no row does otherwise, and asking for it would be an error."""
    match value:
        case str():
            return "\0" not in value
        case int():
            return abs(value) <= _LARGEST_INT
        case _:
            return value.tzinfo is not None


def _check(payload: bytes) -> bytes:
    """Tells a cursor from an edited one. No secret: a forged one shows another page of what may be seen anyway."""
    return blake2b(payload, digest_size=_CHECK_BYTES, person=b"stagedoor").digest()
