"""Reads what a client sends: bounded, checked against its model, refused with the name of the field."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NoReturn, TypeVar

import msgspec
from aiohttp import hdrs, web

from api.answers import JSON
from api.models import FieldError, Model
from api.problems import Refused, invalid

MAX_BODY_BYTES = 64 * 1024
"""The largest order, and the longest description in the widest characters, are below half of it."""

BODY_SECONDS = 20.0
"""How long a body may take to arrive: 64 KiB over the slowest phone."""

MAX_TOLD = 200
"""Characters of a client's own field name that are told back."""

T = TypeVar("T")
M = TypeVar("M", bound=Model)

_WHOLE = re.compile(r"-?[0-9]{1,18}")
_PATH = re.compile(r"^(?P<reason>.*?) - at `(?P<path>\$.*)`$", re.DOTALL)
_NAMED = re.compile(r"^Object (?P<what>contains unknown|missing required) field `(?P<name>.*)`$", re.DOTALL)


async def read(request: web.Request) -> bytes:
    """The body as it came.

    Raises:
        Refused: 408, 413 or 415.
    """
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity") != "identity":
        # Nothing sent here is large enough to be worth it, and what is not unpacked cannot blow up.
        raise Refused("unsupported_media_type", "send the body as it is, not compressed")
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise _too_large()
    if request.content.is_eof():  # it came with the headers, as small bodies do
        raw = request.content.read_nowait()
        if len(raw) > MAX_BODY_BYTES:
            raise _too_large()
        return raw
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await request.read()
    except TimeoutError:
        late = f"a body has {BODY_SECONDS:.0f} seconds"
        raise Refused("request_timeout", late, headers={hdrs.CONNECTION: "close"}) from None


def _too_large() -> Refused:
    return Refused("body_too_large", f"at most {MAX_BODY_BYTES} bytes")


def check_media_type(request: web.Request, raw: bytes) -> None:
    """A body that says it is something else than JSON is refused with 415; one that says nothing is read as JSON."""
    said = request.headers.get(hdrs.CONTENT_TYPE)
    if raw and said is not None and JSON not in (said, request.content_type):
        raise Refused("unsupported_media_type", f"expected {JSON}")


def decode(raw: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """The body as its model.

    Raises:
        Refused: 400 when it is not JSON, 422 when it is something else than asked for.
    """
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        _check_json(raw)
        _refuse(str(error))
    except (ValueError, RecursionError) as error:
        raise Refused("bad_json", "the body is not JSON") from error


def query(request: web.Request, model: type[M]) -> M:
    """The query string as its model.

    Raises:
        Refused: 422 for a parameter that is unknown, given twice, or has a bad value.
    """
    given = request.query
    if len(given) != len(set(given)):
        twice = next(name for name in given if len(given.getall(name)) > 1)
        raise invalid(twice[:MAX_TOLD], "given more than once")
    kinds = _kinds(model)
    try:
        return msgspec.convert({name: _value(text, kinds.get(name)) for name, text in given.items()}, model)
    except msgspec.ValidationError as error:
        _refuse(str(error))


def _value(text: str, kind: type | None) -> int | bool | str:
    """The parameter as its field takes it. msgspec's lax mode would take `1e5` for a time and `5.0` for a number."""
    if kind is bool and text in ("true", "false"):
        return text == "true"
    if kind is int and _WHOLE.fullmatch(text) is not None:
        return int(text)
    return text


@cache
def _kinds(model: type) -> dict[str, type]:
    """The fields of a query that are no text, by the names clients use."""
    info = msgspec.inspect.type_info(model)
    assert isinstance(info, msgspec.inspect.StructType)
    kinds: dict[str, type] = {}
    for field in info.fields:
        for leaf in _leaves(field.type):
            if isinstance(leaf, msgspec.inspect.BoolType):
                kinds[field.encode_name] = bool
            elif isinstance(leaf, msgspec.inspect.IntType):
                kinds[field.encode_name] = int
    return kinds


def _leaves(kind: msgspec.inspect.Type) -> Iterator[msgspec.inspect.Type]:
    """The types a value may have, out of unions and descriptions."""
    if isinstance(kind, msgspec.inspect.UnionType):
        for one in kind.types:
            yield from _leaves(one)
    elif isinstance(kind, msgspec.inspect.Metadata):
        yield from _leaves(kind.type)
    else:
        yield kind


@cache
def decoder_of(model: type[Model]) -> Callable[[bytes], Any]:
    """A function that decodes bodies of a model, see `decode`."""
    decoder = msgspec.json.Decoder(model)
    return lambda raw: decode(raw, decoder)


def _check_json(raw: bytes) -> None:
    """The first wrong value may stand before a place where the text stops being JSON."""
    try:
        msgspec.json.decode(raw)
    except (ValueError, RecursionError) as error:
        raise Refused("bad_json", "the body is not JSON") from error


def _refuse(reason: str) -> NoReturn:
    """Makes a field and a message of msgspec's `… - at `$.price.amount``."""
    path = ""
    if (found := _PATH.match(reason)) is not None:
        reason, path = found["reason"], found["path"].removeprefix("$").removeprefix(".")
    if (found := _NAMED.match(reason)) is not None:
        name = found["name"][:MAX_TOLD]
        path = f"{path}.{name}" if path else name
        reason = "unknown" if found["what"].startswith("contains") else "required"
    reason = reason.replace("`", "")
    field = FieldError(path or "body", reason[:1].lower() + reason[1:])
    raise Refused("validation_failed", f"{field.field}: {field.message}", errors=[field])
