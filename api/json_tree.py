"""A JSON body before it is compared with its model: strict where msgspec leaves it open.

One name twice in an object is refused (RFC 7493, section 2.3): readers differ in which of the two they take. So is what
is nested deeper than any model. Every text is put into its normal form here, once, before its length is checked.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from api.text import normalised

MAX_DEPTH = 16
"""The deepest model has three levels."""

_TEXTS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')

_decode = msgspec.json.Decoder().decode


class BadJson(ValueError):
    """It is not JSON, or not JSON that is read here; the text says which."""


class NamedTwice(ValueError):
    """An object has one name twice; the text is the name."""


def parse(raw: bytes) -> Any:
    """The body as dicts, lists and plain values, its texts in NFC.

    Raises:
        BadJson: see there.
        NamedTwice: see there.
        msgspec.ValidationError: a number is beyond what is read.
    """
    try:
        tree = _decode(raw)
    except msgspec.ValidationError:
        raise
    except (ValueError, RecursionError) as error:
        raise BadJson("the body is not JSON") from error
    tree, members = _tidy(tree)
    # Valid JSON has a colon for each member; those that are left over stand in texts, or belong to a second one.
    if raw.count(b":") != members and _TEXTS.sub(b"", raw).count(b":") != members:
        json.loads(raw, object_pairs_hook=_refuse_twice)
    return tree


def _tidy(tree: Any) -> tuple[Any, int]:
    """Normalises in place, level by level; returns the tree and how many members its objects have."""
    top = [tree]
    level: list[Any] = [top]
    members = 0
    for _ in range(MAX_DEPTH + 1):
        below = []
        for container in level:
            if type(container) is dict:
                members += len(container)
                places: Any = container.items()
            else:
                places = enumerate(container)
            for place, value in places:
                kind = type(value)
                if kind is str:
                    container[place] = normalised(value)
                elif kind is dict or kind is list:
                    below.append(value)
        if not below:
            return top[0], members
        level = below
    raise BadJson(f"the body is nested deeper than {MAX_DEPTH}")


def _refuse_twice(pairs: list[tuple[str, Any]]) -> None:
    seen = set()
    for name, _ in pairs:
        if name in seen:
            raise NamedTwice(name)
        seen.add(name)
