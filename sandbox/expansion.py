"""`expand[]`: ids in an answer become the objects themselves (docs.stripe.com/api/expanding_objects).

A name is a path such as `latest_charge.balance_transaction`; in a list it begins with `data`.
"""

from __future__ import annotations

from typing import Any

from sandbox import objects
from sandbox.calls import Call
from sandbox.errors import invalid
from sandbox.store import Store

MAX_DEPTH = 4
"""Stripe's limit for the names in one path."""

Path = tuple[str, ...]

_FIELDS: dict[str, dict[str, str]] = {
    "payment_intents": {"latest_charge": "charges", "payment_method": "payment_methods"},
    "charges": {"balance_transaction": "balance_transactions", "payment_intent": "payment_intents"},
    "refunds": {
        "balance_transaction": "balance_transactions",
        "charge": "charges",
        "failure_balance_transaction": "balance_transactions",
        "payment_intent": "payment_intents",
    },
    "disputes": {"charge": "charges", "payment_intent": "payment_intents"},
    "transfers": {
        "balance_transaction": "balance_transactions",
        "destination": "accounts",
        "source_transaction": "charges",
    },
    "transfer_reversals": {"balance_transaction": "balance_transactions", "transfer": "transfers"},
}
"""By table: the fields that hold an id, and the table of the object it names."""


def read(call: Call, table: str, *, in_list: bool = False) -> list[Path]:
    """The call's `expand[]`, each path once. Raises StripeError for one that leads nowhere."""
    paths: dict[Path, None] = {}
    for name in call.parameters.array("expand"):
        path = tuple(name.split("."))
        if in_list:
            path = path[1:] if path[0] == "data" else ()
        if not _leads_somewhere(table, path):
            raise invalid(f"This property cannot be expanded ({name[:100]}).", param="expand")
        paths[path] = None
    return list(paths)


def _leads_somewhere(table: str, path: Path) -> bool:
    for field in path:
        fields = _FIELDS.get(table, {})
        if field not in fields:
            return False
        table = fields[field]
    return 0 < len(path) <= MAX_DEPTH


def expanded(store: Store, table: str, shown: dict[str, Any], paths: list[Path]) -> dict[str, Any]:
    """The object, with what the paths name in the place of its ids. What it does not show is left alone."""
    for path in paths:
        _expand(store, table, shown, path)
    return shown


def _expand(store: Store, table: str, shown: dict[str, Any], path: Path) -> None:
    field, rest = path[0], path[1:]
    if shown.get(field) is None:
        return
    target = _FIELDS[table][field]
    if isinstance(shown[field], str):
        record = store.get(target, shown[field])
        assert record is not None, "what has an id in a record is never deleted"
        shown[field] = objects.SHOWN[target](record)
    if rest:
        _expand(store, target, shown[field], rest)
