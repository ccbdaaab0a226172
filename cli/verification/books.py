"""Whether the ledger is what the log says, and whether that adds up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from domain.order import Order
from projections.ledger import BUYERS, LEDGER
from projections.projection import Line, Lines

_KEY = 3
"""Columns of the key: order, sequence, line."""
_ACCOUNT, _AMOUNT, _CURRENCY = (_KEY + list(LEDGER.columns).index(name) for name in ("account", "amount", "currency"))


def differences(kept: Lines, expected: Sequence[Line], stored: Sequence[Line], version: int) -> Iterator[str]:
    """What is wrong with the lines of one aggregate.

    Args:
        expected: all that its events make.
        version: how far its row has come; lines of later events may be missing, but not be others.
    """
    there = {line[:_KEY]: line for line in stored}
    for line in expected:
        found = there.pop(line[:_KEY], None)
        if found is None:
            if line[1] <= version:
                yield f"{kept.table} misses line {_named(line)}"
        elif found != line:
            names = [
                name
                for name, is_there, is_due in zip(kept.columns, found[_KEY:], line[_KEY:], strict=True)
                if is_there != is_due
            ]
            yield f"{kept.table} has another {', '.join(names)} in line {_named(line)}"
    for line in there.values():
        yield f"{kept.table} has line {_named(line)}, which no event made"


def imbalances(order: Order, lines: Sequence[Line], *, undivided: bool) -> Iterator[str]:
    """Where the lines of an order do not add up.

    Args:
        undivided: it was paid before the parts of its money were told, so that its charge stays as it came.
    """
    sums: Counter[tuple[int, str]] = Counter()
    for line in lines:
        sums[line[1], line[_CURRENCY]] += line[_AMOUNT]
    for (sequence, currency), amount in sums.items():
        if amount:
            yield f"the lines of event {order.id}/{sequence} come to {amount} {currency}, not to 0"
    owed = -sum(line[_AMOUNT] for line in lines if line[_ACCOUNT] == BUYERS)
    to_go_back = sum(refund.money.amount for refund in order.refunds if refund.refund_id is None)
    expected = to_go_back + (order.total.amount if undivided else 0)
    if owed != expected:
        yield f"order {order.id} owes its buyer {owed}, but refunds of {expected} are to be made"


def _named(line: Line) -> str:
    return f"{line[2]} of event {line[0]}/{line[1]}"
