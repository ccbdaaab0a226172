"""Columns as PostgreSQL's binary arrays, made by the column.

The driver finds out value by value what a list is made of. Here it is known, since every column has its type, and that
is half of what a statement with many rows costs its sender.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from struct import Struct, error
from typing import Any

import psycopg
from psycopg import pq
from psycopg.adapt import Dumper

_EMPTY, _HEAD = Struct("!III"), Struct("!IIIII")
"""The number of dimensions, whether there is a NULL, the type of an element; then how many there are, from which index.
Every element after that is its length and its bytes; a NULL's length is -1."""

_NULL = b"\xff\xff\xff\xff"
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_UUID = 16 << 128
_TRUE, _FALSE = b"\0\0\0\1\1", b"\0\0\0\1\0"


class Array(bytes):
    """An array as it goes over the wire."""

    __slots__ = ()


class _ArrayDumper(Dumper):
    """Hands it to the driver as it is. Of no type: the statement says by a cast which one it is."""

    format = pq.Format.BINARY

    def dump(self, obj: Array) -> Array:
        return obj


psycopg.adapters.register_dumper(Array, _ArrayDumper)


def array(kind: str, values: Sequence[Any]) -> Array:
    """The values as an array of PostgreSQL's type `kind`, one of those that columns have.

    Raises:
        psycopg.DataError: a value is not of that type.
    """
    oid, encode = _KINDS[kind]
    count = len(values)
    if not count:
        return Array(_EMPTY.pack(0, 0, oid))
    if values[0] == values[-1] and values.count(values[0]) == count:
        repeat, values = count, values[:1]  # a status, a currency: often all the same
    else:
        repeat = 1
    has_null = None in values
    try:
        if has_null:
            body = b"".join([_NULL if value is None else encode((value,)) for value in values])
        else:
            body = encode(values)
    except (AttributeError, OverflowError, TypeError, ValueError, error) as wrong:
        raise psycopg.DataError(f"not an array of {kind}: {wrong}") from wrong
    return Array(_HEAD.pack(1, has_null, oid, count, 1) + body * repeat)


def _numbers(layout: str) -> Callable[[Sequence[int]], bytes]:
    form = Struct(layout)
    pack, size = form.pack, form.size - 4
    return lambda values: b"".join([pack(size, value) for value in values])


_bigint = Struct("!iq").pack


def _times(values: Sequence[datetime]) -> bytes:
    since = [value - _EPOCH for value in values]
    return b"".join([_bigint(8, time.microseconds + 1_000_000 * (86_400 * time.days + time.seconds)) for time in since])


def _texts(values: Sequence[str]) -> bytes:
    return _raws([value.encode() for value in values])


def _raws(values: Sequence[bytes]) -> bytes:
    parts: list[bytes] = []
    for raw in values:
        parts += (len(raw).to_bytes(4, "big"), raw)
    return b"".join(parts)


_KINDS: dict[str, tuple[int, Callable[[Sequence[Any]], bytes]]] = {
    kind: (psycopg.adapters.types[kind].oid, encode)
    for kind, encode in (
        ("bigint", _numbers("!iq")),
        ("bytea", _raws),
        ("boolean", lambda values: b"".join([_TRUE if value else _FALSE for value in values])),
        ("integer", _numbers("!ii")),
        ("json", _texts),
        ("smallint", _numbers("!ih")),
        ("text", _texts),
        ("timestamptz", _times),
        ("uuid", lambda values: b"".join([(_UUID | value.int).to_bytes(20, "big") for value in values])),
    )
}
