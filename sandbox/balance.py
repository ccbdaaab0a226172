"""The balance: what is on it, and the transactions that made it so."""

from __future__ import annotations

from typing import Any

from sandbox import expansion, ledger
from sandbox.calls import Call
from sandbox.errors import missing_object
from sandbox.lists import listing
from sandbox.objects import balance_transaction
from sandbox.store import Record

_TOTAL = "balance."


def book(
    call: Call,
    kind: ledger.Kind,
    source: Record,
    amount: int,
    *,
    fee: int = 0,
    fee_description: str = "Stripe processing fees",
    description: str | None = None,
) -> Record:
    """Moves `amount` less `fee` onto the balance, because of `source`; returns the transaction."""
    booked = ledger.transaction(
        call.store.ids.new("txn"),
        kind,
        source,
        amount,
        created=call.now,
        fee=fee,
        fee_description=fee_description,
        description=description,
    )
    call.store.insert("balance_transactions", booked, type=booked["type"], source=booked["source"])
    call.store.count(f"{_TOTAL}{booked['currency']}", booked["net"])
    return booked


def available(call: Call, currency: str) -> int:
    """What is on the balance, in minor units."""
    return call.store.total(f"{_TOTAL}{currency}")


def retrieve_transaction(call: Call) -> dict[str, Any]:
    """GET /v1/balance_transactions/{id}"""
    paths = expansion.read(call, "balance_transactions")
    call.parameters.refuse_unknown()
    found = call.store.get("balance_transactions", call.identifier)
    if found is None:
        raise missing_object("balance transaction", call.identifier, param="id")
    return expansion.expanded(call.store, "balance_transactions", balance_transaction(found), paths)


def list_transactions(call: Call) -> dict[str, Any]:
    """GET /v1/balance_transactions"""
    return listing(call, "balance_transactions", filters=("type", "source"))


def retrieve(call: Call) -> dict[str, Any]:
    """GET /v1/balance: every currency there has been, all of it available."""
    call.parameters.refuse_unknown()
    totals = {name: value for name, value in sorted(call.store.totals().items()) if name.startswith(_TOTAL)}
    sums = {name.removeprefix(_TOTAL): value for name, value in totals.items()}
    return {
        "object": "balance",
        "available": [_money(value, currency) for currency, value in sums.items()],
        "livemode": False,
        "pending": [_money(0, currency) for currency in sums],
    }


def _money(amount: int, currency: str) -> dict[str, Any]:
    return {"amount": amount, "currency": currency, "source_types": {"card": amount}}
