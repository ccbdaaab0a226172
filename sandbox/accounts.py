"""Connected accounts: those who are paid out. They can be paid once they have told Stripe who they are."""

from __future__ import annotations

import re
from typing import Any

from sandbox import objects
from sandbox.calls import Call
from sandbox.countries import CURRENCIES
from sandbox.errors import INVALID_REQUEST, StripeError, invalid
from sandbox.lists import listing
from sandbox.store import Record

DEFAULT_COUNTRY = "DE"
"""The platform's own, which an account has that names none."""
BUSINESS_TYPES = ("company", "government_entity", "individual", "non_profit")
CAPABILITIES = ("card_payments", "transfers")
_CONTROLLER = {
    "fees": ("payer", ("account", "application")),
    "losses": ("payments", ("application", "stripe")),
    "requirement_collection": (None, ("application", "stripe")),
    "stripe_dashboard": ("type", ("express", "full", "none")),
}
"""`controller[…]`: the hash, its one field (None: it is the field itself), and the values."""
_TYPES = {
    "standard": ("account", "stripe", "stripe", "full"),
    "express": ("application_express", "application", "stripe", "express"),
    "custom": ("application_custom", "application", "application", "none"),
}
"""What the older `type` means for the fields of `controller`, in their order."""
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_WHAT_STRIPE_ASKS = ["business_type", "external_account", "tos_acceptance.date", "tos_acceptance.ip"]


def create(call: Call) -> dict[str, Any]:
    """POST /v1/accounts, as `type` or as `controller[…]`."""
    parameters = call.parameters
    country = _country(call)
    account: Record = {
        "id": "",
        "business_type": parameters.one_of("business_type", BUSINESS_TYPES),
        "capabilities": _capabilities(call),
        "country": country,
        "created": call.now,
        "default_currency": CURRENCIES[country],
        "email": _email(call),
        "metadata": parameters.metadata({}),
        "requirements": _requirements(_WHAT_STRIPE_ASKS),
        **_kind(call),
    }
    parameters.refuse_unknown()
    account["id"] = call.store.ids.new("acct")
    call.store.insert("accounts", account)
    call.store.count("accounts")
    return objects.account(account)


def complete(call: Call, account: Record) -> None:
    """The person has told Stripe everything: what was requested becomes active. Again, it changes nothing."""
    if account.get("details_submitted"):
        return
    before = objects.account(account)
    account |= {
        "capabilities": dict.fromkeys(account["capabilities"], "active"),
        "charges_enabled": True,
        "details_submitted": True,
        "payouts_enabled": True,
        "requirements": _requirements([]),
    }
    call.store.update("accounts", account)
    shown = objects.account(account)
    previous = {name: old for name, old in before.items() if shown[name] != old}
    call.happened("account.updated", shown, previous, account=account["id"])


def retrieve(call: Call) -> dict[str, Any]:
    """GET /v1/accounts/{id}; one that does not exist cannot be told from one of another platform."""
    call.parameters.refuse_unknown()
    account = call.store.get("accounts", call.identifier)
    if account is None:
        raise no_access(call.identifier)
    return objects.account(account)


def list_all(call: Call) -> dict[str, Any]:
    """GET /v1/accounts"""
    return listing(call, "accounts")


def no_access(identifier: str) -> StripeError:
    """403 `account_invalid`."""
    return StripeError(
        403,
        INVALID_REQUEST,
        f"The key does not have access to account '{identifier}' (or that account does not exist).",
        code="account_invalid",
    )


def _country(call: Call) -> str:
    country = call.parameters.text("country") or DEFAULT_COUNTRY
    if not re.fullmatch("[A-Z]{2}", country):
        raise invalid(
            f"Country '{country[:10]}' is unknown: send two letters.", code="country_code_invalid", param="country"
        )
    if country not in CURRENCIES:
        raise invalid(f"{country} is not currently supported by Stripe.", code="country_unsupported", param="country")
    return country


def _email(call: Call) -> str | None:
    email = call.parameters.text("email")
    if email is not None and not _EMAIL.fullmatch(email):
        raise invalid(f"Invalid email address: {email[:100]}", code="email_invalid", param="email")
    return email


def _capabilities(call: Call) -> dict[str, str]:
    requested = (name for name in CAPABILITIES if call.parameters.boolean(f"capabilities[{name}][requested]"))
    return dict.fromkeys(requested, "inactive")


def _kind(call: Call) -> Record:
    """`type` and `controller` of the account. Raises StripeError when both were sent."""
    parameters = call.parameters
    kind = parameters.one_of("type", tuple(_TYPES))
    controller: Record = {}
    sent = False
    for place, (name, (field, allowed)) in enumerate(_CONTROLLER.items()):
        parameter = f"controller[{name}]" if field is None else f"controller[{name}][{field}]"
        value = parameters.one_of(parameter, allowed) if field else _one_of_hash(call, name, allowed)
        sent = sent or value is not None
        value = value or _TYPES[kind or "standard"][place]
        controller[name] = value if field is None else {field: value}
    if sent and kind is not None:
        raise invalid("You may not provide the `type` parameter and `controller` parameters simultaneously.")
    controller |= {"is_controller": True, "type": "application"}
    return {"type": "none" if sent else kind or "standard", "controller": controller}


def _one_of_hash(call: Call, name: str, allowed: tuple[str, ...]) -> str | None:
    """A field that stands directly in `controller`; any other there is unknown. Raises StripeError."""
    sent = call.parameters.hash("controller")
    for other in sent:
        if other != name:
            parameter = f"controller[{other[:100]}]"
            raise invalid(f"Received unknown parameter: {parameter}", code="parameter_unknown", param=parameter)
    if name in sent and sent[name] not in allowed:
        parameter = f"controller[{name}]"
        raise invalid(f"Invalid {parameter}: must be one of {', '.join(allowed)}", param=parameter)
    return sent.get(name)


def _requirements(due: list[str]) -> Record:
    return {
        "alternatives": [],
        "current_deadline": None,
        "currently_due": due,
        "disabled_reason": "requirements.past_due" if due else None,
        "errors": [],
        "eventually_due": due,
        "past_due": due,
        "pending_verification": [],
    }
