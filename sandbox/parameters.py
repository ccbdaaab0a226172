"""Reads Stripe's form-encoded parameters: `amount=1000&payment_method_types[0]=card&metadata[order_id]=42`.

An operation takes the parameters it knows one by one and then calls `refuse_unknown()`: what nobody has read is
unknown and answers 400 `parameter_unknown`, as Stripe does. So the reading is the list of what is supported, and
nothing is ignored in silence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import parse_qsl

from sandbox.errors import StripeError, invalid

MAX_PARAMETERS = 500
"""More fields than any request of this API can have (50 metadata pairs); a bound on the work of parsing."""
MAX_TEXT = 5_000
"""Stripe's limit for strings, in characters."""
MAX_METADATA_PAIRS = 50
MAX_METADATA_KEY = 40
MAX_METADATA_VALUE = 500

_BRACKETED = re.compile(r"([^\[\]]+)\[([^\[\]]*)\]")
_INTEGER = re.compile(r"-?[0-9]{1,18}")


class Parameters:
    """The parameters of one request, as they were sent."""

    def __init__(self, encoded: str) -> None:
        """`encoded`: a query string or a form body. Raises StripeError when it cannot be read."""
        try:
            self.pairs = parse_qsl(encoded, keep_blank_values=True, max_num_fields=MAX_PARAMETERS, errors="strict")
        except ValueError:
            raise invalid("The parameters are not form-encoded UTF-8, or there are too many of them.") from None
        self._plain: dict[str, str] = {}
        self._nested: dict[str, list[tuple[str, str]]] = {}
        for name, value in self.pairs:
            bracketed = _BRACKETED.fullmatch(name)
            if bracketed is None:
                self._plain[name] = value
            else:
                self._nested.setdefault(bracketed[1], []).append((bracketed[2], value))
        self._read: set[str] = set()

    def text(self, name: str, *, can_be_empty: bool = False) -> str | None:
        """The string, or None when it was not sent. Empty means "unset" to Stripe, which few parameters allow."""
        self._read.add(name)
        if name in self._nested:
            raise invalid("Invalid string: a list or a hash was sent.", param=name)
        value = self._plain.get(name)
        if value == "" and not can_be_empty:
            raise invalid(
                f"'{name}' is empty, which would unset it, and it cannot be unset.",
                code="parameter_invalid_empty",
                param=name,
            )
        if value is not None and len(value) > MAX_TEXT:
            raise invalid(f"'{name}' is longer than {MAX_TEXT} characters.", param=name)
        return value

    def required_text(self, name: str) -> str:
        value = self.text(name)
        if value is None:
            raise _missing(name)
        return value

    def one_of(self, name: str, allowed: Iterable[str]) -> str | None:
        value = self.text(name)
        if value is not None and value not in allowed:
            raise invalid(f"Invalid {name}: must be one of {', '.join(allowed)}", param=name)
        return value

    def integer(self, name: str, *, least: int) -> int | None:
        """A whole number. Raises StripeError `parameter_invalid_integer` for anything else or less than `least`."""
        value = self.text(name)
        if value is None:
            return None
        if not _INTEGER.fullmatch(value):
            raise invalid(f"Invalid integer: {value[:40]}", code="parameter_invalid_integer", param=name)
        if int(value) < least:
            raise invalid(f"This value must be {least} or more.", code="parameter_invalid_integer", param=name)
        return int(value)

    def required_integer(self, name: str, *, least: int) -> int:
        value = self.integer(name, least=least)
        if value is None:
            raise _missing(name)
        return value

    def boolean(self, name: str) -> bool:
        """`true` or `false`; false when it was not sent."""
        value = self.text(name)
        if value not in (None, "true", "false"):
            raise invalid(f"Invalid boolean: {value[:40] if value else ''}", param=name)
        return value == "true"

    def array(self, name: str) -> list[str]:
        """`name[]=a&name[]=b` or `name[0]=a&name[1]=b`, in the order sent; empty when it was not sent."""
        self._read.add(name)
        if name in self._plain:
            raise invalid("Invalid array: send it as name[0], name[1], …", param=name)
        return [value for _, value in self._nested.get(name, ())]

    def hash(self, name: str) -> dict[str, str]:
        """`name[key]=value` pairs; empty when it was not sent."""
        self._read.add(name)
        if name in self._plain:
            raise invalid("Invalid hash: send it as name[key].", param=name)
        return dict(self._nested.get(name, ()))

    def metadata(self, old: dict[str, str]) -> dict[str, str]:
        """`old` with the pairs that were sent: an empty value takes its key away, `metadata=` takes all of them."""
        if self._plain.get("metadata") == "":
            self._read.add("metadata")
            return {}
        sent = self.hash("metadata")
        for key, value in sent.items():
            if not 0 < len(key) <= MAX_METADATA_KEY or len(value) > MAX_METADATA_VALUE:
                raise invalid(
                    f"Metadata keys have 1 to {MAX_METADATA_KEY} characters, values up to {MAX_METADATA_VALUE}.",
                    param="metadata",
                )
        merged = {key: value for key, value in (old | sent).items() if value != ""}
        if len(merged) > MAX_METADATA_PAIRS:
            raise invalid(f"An object has at most {MAX_METADATA_PAIRS} metadata pairs.", param="metadata")
        return merged

    def refuse_unknown(self) -> None:
        """Raises StripeError `parameter_unknown` when a parameter was sent that nothing has read."""
        for name in (*self._plain, *self._nested):
            if name not in self._read:
                raise invalid(f"Received unknown parameter: {name[:100]}", code="parameter_unknown", param=name[:100])


def _missing(name: str) -> StripeError:
    return invalid(f"Missing required param: {name}.", code="parameter_missing", param=name)
