"""Arrays as the server reads them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import psycopg
import pytest

from projections.arrays import array
from projections.models import MODELS

VALUES: dict[str, list[Any]] = {
    "bigint": [0, -1, 2**63 - 1, -(2**63)],
    "boolean": [True, False, True],
    "bytea": [b"", b"\0\xff", b"raw"],
    "integer": [0, -1, 2**31 - 1, -(2**31)],
    "json": ["[]", '{"a": "Müller \\u0041"}'],
    "smallint": [0, -1, 32767, -32768],
    "text": ["", "O'Reilly's \\ {Hall}", "NULL", "Müngersdorf 🎫"],
    "timestamptz": [
        datetime(2000, 1, 1, tzinfo=UTC),
        datetime(1900, 2, 3, 4, 5, 6, 999_999, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2026, 6, 11, 13, tzinfo=timezone(timedelta(hours=-6))),
    ],
    "uuid": [UUID(int=0), UUID(int=2**128 - 1), UUID("12345678-9abc-def0-1234-56789abcdef0")],
}
"""By type, what is hard about it."""


def read_back(server_url: str, kind: str, values: list[Any]) -> list[Any]:
    shown = "v::text" if kind == "json" else "v"
    query = f"SELECT {shown} FROM unnest(%b::{kind}[]) WITH ORDINALITY AS u (v, place) ORDER BY place"
    with psycopg.connect(server_url) as connection:
        return [row[0] for row in connection.execute(query.encode(), (array(kind, values),))]


@pytest.mark.parametrize("kind", VALUES)
def test_every_value_arrives_as_it_is(server_url: str, kind: str) -> None:
    values = VALUES[kind]
    some_missing = [None, *values, None]
    assert read_back(server_url, kind, values) == values
    assert read_back(server_url, kind, some_missing) == some_missing
    assert read_back(server_url, kind, [values[-1]] * 3) == [values[-1]] * 3
    assert read_back(server_url, kind, [None, None]) == [None, None]
    assert read_back(server_url, kind, []) == []


def test_every_column_has_a_type_that_is_known() -> None:
    kinds = {kind for projection in MODELS.values() for kind in projection.columns.values()}
    lines = {kind for projection in MODELS.values() if projection.lines for kind in projection.lines.columns.values()}
    assert kinds | lines <= VALUES.keys()


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("bigint", 2**63),
        ("integer", 2**31),
        ("smallint", "1"),
        ("text", 1),
        ("text", "\udc80"),
        ("timestamptz", datetime(2026, 1, 1)),  # noqa: DTZ001 - that it has no time zone is what is wrong with it
        ("timestamptz", "2026-01-01"),
        ("uuid", "12345678-9abc-def0-1234-56789abcdef0"),
    ],
)
def test_a_value_of_another_type_is_the_datas_fault(kind: str, value: object) -> None:
    """As when the database refuses it: what comes of one event must not stop the others."""
    with pytest.raises(psycopg.DataError):
        array(kind, [value])
    with pytest.raises(psycopg.DataError):
        array(kind, [None, value])


def test_text_with_a_zero_is_refused_by_the_server(server_url: str) -> None:
    with pytest.raises(psycopg.DataError):
        read_back(server_url, "text", ["a\0b"])
