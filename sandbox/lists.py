"""Lists, newest first, as Stripe's: `limit`, `starting_after`, `ending_before`, `created`, `expand[]`, filters."""

from __future__ import annotations

from typing import Any

from sandbox import expansion
from sandbox.calls import Call
from sandbox.errors import invalid
from sandbox.objects import SHOWN, object_list

DEFAULT_LIMIT = 10
MAX_LIMIT = 100
_COMPARISONS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


def listing(
    call: Call,
    table: str,
    *,
    filters: tuple[str, ...] = (),
    scope: tuple[str, str] | None = None,
    url: str | None = None,
) -> dict[str, Any]:
    """The page the call's parameters ask for.

    Args:
        filters: columns of `table` that are parameters of the same name.
        scope: a condition for all of the list, with its value.
        url: the list's own, when it is not /v1/`table`.
    """
    parameters = call.parameters
    limit = parameters.integer("limit", least=1)
    after, before = parameters.text("starting_after"), parameters.text("ending_before")
    where: list[tuple[str, Any]] = [] if scope is None else [scope]
    for name in filters:
        value = parameters.text(name)
        if value is not None:
            where.append((f"{name} = ?", value))
    where += _created(call)
    paths = expansion.read(call, table, in_list=True)
    parameters.refuse_unknown()
    if limit is not None and limit > MAX_LIMIT:
        raise invalid(f"This value must be {MAX_LIMIT} or less.", code="parameter_invalid_integer", param="limit")
    if after is not None and before is not None:
        raise invalid("Send starting_after or ending_before, not both.", code="parameters_exclusive")
    # Ids grow with time, so a place in the list is an id.
    if after is not None:
        where.append(("id < ?", after))
    if before is not None:
        where.append(("id > ?", before))
    records, has_more = call.store.page(table, where, limit=limit or DEFAULT_LIMIT, backwards=before is not None)
    shown = [expansion.expanded(call.store, table, SHOWN[table](record), paths) for record in records]
    return object_list(url or f"/v1/{table}", shown, has_more=has_more)


def _created(call: Call) -> list[tuple[str, int]]:
    """`created[gte]=…` and its like, in seconds since 1970."""
    where = []
    for comparison, value in call.parameters.hash("created").items():
        operator = _COMPARISONS.get(comparison)
        if operator is None or not value.isascii() or not value.isdigit() or len(value) > 12:  # noqa: PLR2004 - year 33658
            raise invalid("created takes gt, gte, lt or lte with a time in whole seconds.", param="created")
        where.append((f"created {operator} ?", int(value)))
    return where
