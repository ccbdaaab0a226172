"""Transfers: money of the platform's balance to a connected account; reversals: back again."""

from __future__ import annotations

from typing import Any

from sandbox import balance, expansion, ledger, objects
from sandbox.calls import Call
from sandbox.currencies import SUPPORTED, money_text
from sandbox.errors import invalid, missing_object, refused
from sandbox.lists import listing
from sandbox.store import Record

_TABLE = "transfers"
_REVERSALS = "transfer_reversals"
_SHOWN_REVERSALS = 10
"""As many of a transfer's reversals as are shown in it: Stripe's page."""


def create(call: Call) -> dict[str, Any]:
    """POST /v1/transfers"""
    parameters = call.parameters
    transfer: Record = {
        "id": "",
        "amount": parameters.required_integer("amount", least=1),
        "created": call.now,
        "currency": parameters.required_text("currency"),
        "description": parameters.text("description", can_be_empty=True) or None,
        "destination": parameters.required_text("destination"),
        "metadata": parameters.metadata({}),
        "source_transaction": parameters.text("source_transaction"),
        "transfer_group": parameters.text("transfer_group"),
    }
    paths = expansion.read(call, _TABLE)
    parameters.refuse_unknown()
    if transfer["currency"] not in SUPPORTED:
        raise invalid(f"Invalid currency: {transfer['currency'][:10]}", param="currency")
    _check_destination(call, transfer["destination"])
    if transfer["source_transaction"] is None:
        _check_balance(call, transfer)
    else:
        _take_from_charge(call, transfer)
    transfer["id"] = call.store.ids.new("tr")
    transfer["destination_payment"] = call.store.ids.new("py")
    booked = balance.book(call, ledger.TRANSFER, transfer, -transfer["amount"], description=transfer["description"])
    transfer["balance_transaction"] = booked["id"]
    call.store.insert(
        _TABLE,
        transfer,
        destination=transfer["destination"],
        transfer_group=transfer["transfer_group"] or "",
        source_transaction=transfer["source_transaction"] or "",
    )
    call.store.count(_TABLE)
    call.store.count(f"transferred.{transfer['currency']}", transfer["amount"])
    call.happened("transfer.created", objects.transfer(transfer))
    return expansion.expanded(call.store, _TABLE, objects.transfer(transfer), paths)


def _check_destination(call: Call, identifier: str) -> None:
    account = call.store.get("accounts", identifier)
    if account is None:
        raise missing_object("destination", identifier, param="destination", status=400)
    if account["capabilities"].get("transfers") != "active":
        raise refused(
            "Your destination account needs to have at least one of the following capabilities enabled: transfers",
            code="insufficient_capabilities_for_transfer",
        )


def _check_balance(call: Call, transfer: Record) -> None:
    if transfer["amount"] > balance.available(call, transfer["currency"]):
        raise refused(
            "You have insufficient available funds in your Stripe account for this transfer.",
            code="balance_insufficient",
        )


def _take_from_charge(call: Call, transfer: Record) -> None:
    """Checks the source and ties both by a transfer group.

    The balance is not asked, as at Stripe: what a charge has brought can be sent on, whatever else went off.
    """
    param = "source_transaction"
    charge = call.store.get("charges", transfer[param])
    if charge is None:
        raise missing_object("charge", transfer[param], param=param, status=400)
    if charge["status"] != "succeeded":
        raise refused(f"Charge {charge['id']} has not succeeded.", param=param)
    if charge["currency"] != transfer["currency"]:
        raise refused(
            f"The currency of source_transaction's balance transaction ({charge['currency']}) must be the same as the "
            f"transfer currency ({transfer['currency']})",
            param="currency",
        )
    (taken,) = call.store.read(
        "SELECT coalesce(sum(json_extract(record, '$.amount') - coalesce(json_extract(record, '$.amount_reversed'), 0))"
        ", 0) FROM transfers WHERE source_transaction = ?",
        (charge["id"],),
    )[0]
    if taken + transfer["amount"] > charge["amount"]:
        most, already = (money_text(amount, charge["currency"]) for amount in (charge["amount"], taken))
        raise refused(
            f"Transfers using this transaction as a source must not exceed the source amount of {most}. "
            f"(There is already a transfer using this source, amounting to {already}.)",
            param=param,
        )
    transfer["transfer_group"] = (
        transfer["transfer_group"] or charge.get("transfer_group") or f"group_{charge['payment_intent']}"
    )
    if charge.get("transfer_group") is None:
        call.store.update("charges", charge | {"transfer_group": transfer["transfer_group"]})


def retrieve(call: Call) -> dict[str, Any]:
    """GET /v1/transfers/{id}"""
    paths = expansion.read(call, _TABLE)
    call.parameters.refuse_unknown()
    return expansion.expanded(call.store, _TABLE, objects.transfer(_load(call, call.identifier)), paths)


def list_all(call: Call) -> dict[str, Any]:
    """GET /v1/transfers"""
    return listing(call, _TABLE, filters=("destination", "transfer_group"))


def reverse(call: Call) -> dict[str, Any]:
    """POST /v1/transfers/{transfer}/reversals: all that is left of it, or `amount` of it."""
    parameters = call.parameters
    wanted = parameters.integer("amount", least=1)
    description = parameters.text("description", can_be_empty=True) or None
    metadata = parameters.metadata({})
    paths = expansion.read(call, _REVERSALS)
    parameters.refuse_unknown()
    transfer = _load(call, call.parent)
    reversal: Record = {
        "id": call.store.ids.new("trr"),
        "amount": _amount_to_reverse(transfer, wanted),
        "created": call.now,
        "currency": transfer["currency"],
        "destination_payment_refund": call.store.ids.new("pyr"),
        "metadata": metadata,
        "transfer": transfer["id"],
    }
    booked = balance.book(call, ledger.TRANSFER_REVERSAL, reversal, reversal["amount"], description=description)
    reversal["balance_transaction"] = booked["id"]
    call.store.insert(_REVERSALS, reversal, transfer=transfer["id"])
    call.store.count(f"transferred.{transfer['currency']}", -reversal["amount"])
    before = objects.transfer(transfer)
    transfer["amount_reversed"] = before["amount_reversed"] + reversal["amount"]
    transfer["reversed"] = transfer["amount_reversed"] == transfer["amount"]
    transfer["reversal_count"] = transfer.get("reversal_count", 0) + 1
    transfer["newest_reversals"] = [reversal, *transfer.get("newest_reversals", ())][:_SHOWN_REVERSALS]
    call.store.update(_TABLE, transfer)
    shown = objects.transfer(transfer)
    previous = {name: old for name, old in before.items() if shown[name] != old}
    call.happened("transfer.reversed", shown, previous)
    return expansion.expanded(call.store, _REVERSALS, objects.transfer_reversal(reversal), paths)


def _amount_to_reverse(transfer: Record, wanted: int | None) -> int:
    left: int = transfer["amount"] - transfer.get("amount_reversed", 0)
    if left == 0:
        raise refused(f"Transfer {transfer['id']} is already fully reversed.")
    if wanted is not None and wanted > left:
        too_much, unreversed = (money_text(amount, transfer["currency"]) for amount in (wanted, left))
        raise refused(
            f"Reversal amount ({too_much}) is greater than unreversed amount on transfer ({unreversed})",
            param="amount",
        )
    return wanted or left


def retrieve_reversal(call: Call) -> dict[str, Any]:
    """GET /v1/transfers/{transfer}/reversals/{id}"""
    paths = expansion.read(call, _REVERSALS)
    call.parameters.refuse_unknown()
    reversal = call.store.get(_REVERSALS, call.identifier)
    if reversal is None or reversal["transfer"] != call.parent:
        raise missing_object("transfer reversal", call.identifier, param="id")
    return expansion.expanded(call.store, _REVERSALS, objects.transfer_reversal(reversal), paths)


def list_reversals(call: Call) -> dict[str, Any]:
    """GET /v1/transfers/{transfer}/reversals"""
    transfer = _load(call, call.parent)
    return listing(
        call, _REVERSALS, scope=("transfer = ?", transfer["id"]), url=objects.transfer(transfer)["reversals"]["url"]
    )


def _load(call: Call, identifier: str) -> Record:
    transfer = call.store.get(_TABLE, identifier)
    if transfer is None:
        raise missing_object("transfer", identifier, param="id")
    return transfer
