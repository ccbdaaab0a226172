"""Account links: a page where a person tells Stripe who they are. Good for one visit within five minutes."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from sandbox import accounts
from sandbox.calls import Call
from sandbox.errors import invalid, missing_object
from sandbox.ids import random_text
from sandbox.store import Record

GOOD_SECONDS = 300
"""Stripe's time, within which the link must be opened."""
KEPT_SECONDS = 7 * 86_400
"""So long an old link still leads back to its refresh_url; then nobody knows it any more."""
_TOKEN_LENGTH = 32


def create(call: Call) -> dict[str, Any]:
    """POST /v1/account_links"""
    parameters = call.parameters
    account_id = parameters.required_text("account")
    addresses = {name: _address(call, name) for name in ("refresh_url", "return_url")}
    parameters.required_text("type")
    parameters.one_of("type", ("account_onboarding",))
    parameters.refuse_unknown()
    if call.store.get("accounts", account_id) is None:
        raise missing_object("account", account_id, param="account", status=400)
    call.store.write("DELETE FROM account_links WHERE created < ?", (call.now - KEPT_SECONDS,))
    link = {"id": random_text(_TOKEN_LENGTH), "account": account_id, "created": call.now, **addresses}
    call.store.insert("account_links", link)
    return {
        "object": "account_link",
        "created": call.now,
        "expires_at": call.now + GOOD_SECONDS,
        "url": f"{call.origin}/_sandbox/onboarding/{link['id']}",
    }


def visit(call: Call, link: Record) -> str | None:
    """Opens the link. Returns the visit's secret, with which the form is sent; None when the link is good no more."""
    if "visit" in link or call.now >= link["created"] + GOOD_SECONDS:
        return None
    link["visit"] = random_text(_TOKEN_LENGTH)
    call.store.update("account_links", link)
    return str(link["visit"])


def finish(call: Call, link: Record, visit_secret: object) -> bool:
    """The form was sent: the account is complete. False when this is not its one visit, or it was sent before."""
    if "visit" not in link or link["visit"] != visit_secret or link.get("finished"):
        return False
    link["finished"] = True
    call.store.update("account_links", link)
    account = call.store.get("accounts", link["account"])
    assert account is not None, "accounts are never deleted"
    accounts.complete(call, account)
    return True


def _address(call: Call, name: str) -> str:
    address = call.parameters.required_text(name)
    try:
        parts = urlsplit(address)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.netloc or not address.isprintable():
        raise invalid("Not a valid URL", code="url_invalid", param=name)
    return address
