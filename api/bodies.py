"""Reads what a client sends: bounded, checked against its model, refused with the name of the field."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any, NoReturn, TypeVar

import msgspec
from aiohttp import StreamReader, hdrs, web

from api import json_tree, text
from api.answers import JSON
from api.load import Arrivals
from api.models import Model
from api.problems import Refused, invalid

MAX_BODY_BYTES = 64 * 1024
"""The largest order, and the longest description in the widest characters, are below half of it."""

BODY_SECONDS = 20.0
"""How long a body may take to arrive: 64 KiB over the slowest phone."""

MAX_CHUNKS = 1_000
"""Of a body: the largest one has them of 64 bytes. To take a chunk in costs the same however small it is: a body of
chunks of a byte kept a process busy for half a second."""

MAX_TOLD = 200
"""Characters of a client's own field name that are told back."""

M = TypeVar("M", bound=Model)

_WHOLE = re.compile(r"-?[0-9]{1,18}")
_PATH = re.compile(r"^(?P<reason>.*?) - at `(?P<path>\$.*)`$", re.DOTALL)
_NAMED = re.compile(r"^Object (?P<what>contains unknown|missing required) field `(?P<name>.*)`$", re.DOTALL)
_UNFIT, _UNNAMED = "Expected `str` matching regex", "Invalid enum value"
_STEP = re.compile(r"\.(?P<name>[a-z_]+)|\[(?P<index>[0-9]+)\]")


async def read(request: web.Request, on_their_way: Arrivals) -> bytes:
    """The body as it came.

    Args:
        on_their_way: bodies that are waited for.

    Raises:
        Refused: 400, 408, 413 or 415.
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
        async with on_their_way.wait(BODY_SECONDS):
            return await _whole(request.content)
    except ConnectionError:
        raise Refused("bad_request", "the connection was closed within the body") from None
    except TimeoutError:
        late = f"a body has {BODY_SECONDS:.0f} seconds"
        raise Refused("request_timeout", late, headers={hdrs.CONNECTION: "close"}) from None


async def _whole(content: StreamReader) -> bytes:
    body = bytearray()
    chunks = 0
    async for piece, ends_chunk in content.iter_chunks():
        body += piece
        chunks += ends_chunk
        if len(body) > MAX_BODY_BYTES:
            raise _too_large()
        if chunks > MAX_CHUNKS:
            raise Refused("body_too_large", f"at most {MAX_CHUNKS} chunks")
    return bytes(body)


def _too_large() -> Refused:
    return Refused("body_too_large", f"at most {MAX_BODY_BYTES} bytes")


def check_media_type(request: web.Request, raw: bytes) -> None:
    """A body that says it is something else than JSON is refused with 415; one that says nothing is read as JSON."""
    said = request.headers.get(hdrs.CONTENT_TYPE)
    if raw and said is not None and JSON not in (said, request.content_type):
        raise Refused("unsupported_media_type", f"expected {JSON}")


def decode(model: type[M], raw: bytes) -> M:
    """The body as its model.

    Raises:
        Refused: 400 when it is not JSON, 422 when it is something else than asked for.
    """
    tree = None
    try:
        tree = json_tree.parse(raw)
        return msgspec.convert(tree, model)
    except json_tree.BadJson as error:
        raise Refused("bad_json", str(error)) from error
    except json_tree.NamedTwice as error:
        raise _twice(str(error)) from None
    except msgspec.ValidationError as error:
        _refuse(_named(raw, model, error) if tree is None else str(error), tree)


def _named(raw: bytes, model: type[Model], error: msgspec.ValidationError) -> str:
    """The fault of a number that is beyond what is read: only with the model at hand its field is known."""
    try:
        msgspec.json.decode(raw, type=model)
    except msgspec.ValidationError as named:
        return str(named)
    except ValueError as bad:
        raise Refused("bad_json", "the body is not JSON") from bad
    return str(error)


def query(request: web.Request, model: type[M]) -> M:
    """The query string as its model.

    Raises:
        Refused: 422 for a parameter that is unknown, given twice, or has a bad value.
    """
    given = request.query
    if len(given) != len(set(given)):
        raise _twice(next(name for name in given if len(given.getall(name)) > 1))
    kinds = _kinds(model)
    values = {name: _value(value, kinds.get(name)) for name, value in given.items()}
    try:
        return msgspec.convert(values, model)
    except msgspec.ValidationError as error:
        _refuse(str(error), values)


def _value(given: str, kind: type | None) -> int | bool | str:
    """The parameter as its field takes it. msgspec's lax mode would take `1e5` for a time and `5.0` for a number."""
    if kind is bool and given in ("true", "false"):
        return given == "true"
    if kind is int and _WHOLE.fullmatch(given) is not None:
        return int(given)
    return text.normalised(given)


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


def decoder_of(model: type[Model]) -> Callable[[bytes], Any]:
    """A function that decodes bodies of a model, see `decode`."""
    return partial(decode, model)


def _twice(name: str) -> Refused:
    return invalid(name[:MAX_TOLD], "given more than once")


def _refuse(reason: str, given: Any) -> NoReturn:
    """Makes a field and a message of msgspec's `… - at `$.price.amount``. `given` is None if it could not be read."""
    path = ""
    if (found := _PATH.match(reason)) is not None:
        reason, path = found["reason"], found["path"].removeprefix("$").removeprefix(".")
    if (found := _NAMED.match(reason)) is not None:
        name = found["name"][:MAX_TOLD]
        path = f"{path}.{name}" if path else name
        reason = "unknown" if found["what"].startswith("contains") else "required"
    elif reason.startswith(_UNFIT) and given is not None:
        reason = text.fault(_at(given, path)) or reason
    elif reason.startswith(_UNNAMED):
        reason = "not one of its values"  # msgspec repeats the value, however long
    reason = reason.replace("`", "")
    raise invalid(path or "body", reason[:1].lower() + reason[1:])


def _at(given: Any, path: str) -> str:
    """The text that stands at a path."""
    for step in _STEP.finditer(f".{path}"):
        given = given[step["name"]] if step["index"] is None else given[int(step["index"])]
    assert isinstance(given, str)
    return given
