"""What the request models are made of, read from the models: a new field is tried without a word being written here."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import msgspec
from msgspec import inspect

from api.models import Model
from api.routes import ROUTES

ID = "01a1f90e-0e05-732b-8d89-b045a4869d27"

SAMPLES: dict[str, Any] = {
    "email": "ann@example.org",
    "password": "correct horse",
    "refresh_token": f"{ID}.secret",
    "description": "Row 7\nSeats 1 to 5",
    "currency": "EUR",
    "payment_method": "pm_card_visa",
}
"""Texts that cannot be any text, by the names of their fields."""

MODELS: list[type[Model]] = sorted(
    {route.body for route in ROUTES if route.body is not None}, key=lambda one: one.__name__
)

Place = tuple[str | int, ...]


PLAIN: dict[type[inspect.Type], Any] = {
    inspect.UUIDType: ID,
    inspect.DateTimeType: "2030-07-14T19:00:00Z",
    inspect.IntType: 60,
    inspect.BoolType: True,
}


def _good(kind: inspect.Type, name: str = "") -> Any:
    """A value of the type, with every field."""
    if isinstance(kind, inspect.UnionType | inspect.Metadata):
        return _good(next(_kinds(kind)), name)
    if isinstance(kind, inspect.StructType):
        return {field.encode_name: _good(field.type, field.encode_name) for field in kind.fields}
    if isinstance(kind, inspect.ListType):
        return [_good(kind.item_type)]
    return PLAIN.get(type(kind)) or SAMPLES.get(name, "Semi-final")


def _kinds(kind: inspect.Type) -> Iterator[inspect.Type]:
    """The types a value may have, out of unions and descriptions."""
    if isinstance(kind, inspect.UnionType):
        for one in kind.types:
            yield from _kinds(one)
    elif isinstance(kind, inspect.Metadata):
        yield from _kinds(kind.type)
    else:
        yield kind


GOOD: dict[str, Any] = {model.__name__: _good(inspect.type_info(model)) for model in MODELS}
"""A good body of every model."""


class Leaf(msgspec.Struct, frozen=True):
    """One field of a body that is no object itself."""

    place: Place
    kinds: tuple[inspect.Type, ...]

    @property
    def name(self) -> str:
        """As a problem names it."""
        told = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.place)
        return told.removeprefix(".")

    @property
    def is_text(self) -> bool:
        return any(isinstance(kind, inspect.StrType) for kind in self.kinds)


def leaves(model: type[Model]) -> Iterator[Leaf]:
    """Every field of a body, however deep."""
    info = inspect.type_info(model)
    assert isinstance(info, inspect.StructType)
    yield from _leaves(info, ())


def objects(model: type[Model]) -> Iterator[tuple[Place, frozenset[str]]]:
    """Every object of a body, with the names it takes."""
    info = inspect.type_info(model)
    assert isinstance(info, inspect.StructType)
    yield from _objects(info, ())


def at(body: Any, place: Place) -> Any:
    """What stands there."""
    for step in place:
        body = body[step]
    return body


def changed(model: type[Model], place: Place, value: Any) -> Any:
    """The good body with another value in one place."""
    body = copy.deepcopy(GOOD[model.__name__])
    at(body, place[:-1])[place[-1]] = value
    return body


def _leaves(info: inspect.StructType, place: Place) -> Iterator[Leaf]:
    for field in info.fields:
        kinds = tuple(_kinds(field.type))
        here = (*place, field.encode_name)
        inner = [kind for kind in kinds if isinstance(kind, inspect.StructType | inspect.ListType)]
        if not inner:
            yield Leaf(here, kinds)
        for kind in inner:
            if isinstance(kind, inspect.ListType):
                if isinstance(kind.item_type, inspect.StructType):
                    yield from _leaves(kind.item_type, (*here, 0))
                else:
                    yield Leaf((*here, 0), tuple(_kinds(kind.item_type)))
            else:
                yield from _leaves(kind, here)


def _objects(info: inspect.StructType, place: Place) -> Iterator[tuple[Place, frozenset[str]]]:
    yield place, frozenset(field.encode_name for field in info.fields)
    for field in info.fields:
        for kind in _kinds(field.type):
            if isinstance(kind, inspect.StructType):
                yield from _objects(kind, (*place, field.encode_name))
            elif isinstance(kind, inspect.ListType) and isinstance(kind.item_type, inspect.StructType):
                yield from _objects(kind.item_type, (*place, field.encode_name, 0))


UNTEXT = [
    "\x00",
    "\x1b[31m",
    "\x7f",
    "\x85",
    "a\u202eb",
    "\u2066a",
    "a\u200bb",
    "a\u200db",
    "\ufeffa",
    "\ufffe",
    "a\U000e0041",
]
"""Text that no field takes."""

ENDS = ["\n", "\r", "\t", "\u2028"]
"""What no field of one line takes at its end."""

NASTY: list[Any] = [
    None, True, False, 0, -1, 1.5, 1.0, 2**31, 2**53 + 1, 2**63, 2**64, -(2**63) - 1, 10**200,
    "", " ", "\u3000", "1", "true", "null", "NaN", "1e5", "x" * 6_000, "'; DROP TABLE events; --", "%s%n",
    "../../etc/passwd", "{{7*7}}", "2030-01-01", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00",
    "2030-06-30T23:59:60Z", "4242424242424242", str(UUID(int=0)), [], {}, [[]], {"": ""}, {"$ne": 1}, *UNTEXT,
]  # fmt: skip
"""Values that some field could choke on."""
