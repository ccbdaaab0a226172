"""Stored records in the full shape of Stripe's API objects.

Each template holds the fields that are the same for every object here; a record holds the others under Stripe's names.
The shapes follow Stripe's OpenAPI description of the version below.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from sandbox.cards import CARDS, Card
from sandbox.store import Record

API_VERSION = "2026-10-28.endive"
"""The version of Stripe's API these objects have (that of the stripe package 16.1)."""

# Fields of a PaymentIntent that a publishable key may see.
_PUBLIC_INTENT = frozenset(
    (
        "id",
        "object",
        "amount",
        "automatic_payment_methods",
        "canceled_at",
        "cancellation_reason",
        "capture_method",
        "client_secret",
        "confirmation_method",
        "created",
        "currency",
        "description",
        "last_payment_error",
        "livemode",
        "next_action",
        "payment_method",
        "payment_method_configuration_details",
        "payment_method_types",
        "processing",
        "receipt_email",
        "setup_future_usage",
        "shipping",
        "source",
        "status",
    )
)

_INTENT: dict[str, Any] = {
    "id": None,
    "object": "payment_intent",
    "amount_capturable": 0,
    "amount_details": {"tip": {}},
    "amount_received": 0,
    "application": None,
    "application_fee_amount": None,
    "automatic_payment_methods": None,
    "canceled_at": None,
    "cancellation_reason": None,
    "capture_method": "automatic",
    "confirmation_method": "automatic",
    "customer": None,
    "customer_account": None,
    "description": None,
    "excluded_payment_method_types": None,
    "last_payment_error": None,
    "latest_charge": None,
    "livemode": False,
    "metadata": {},
    "next_action": None,
    "on_behalf_of": None,
    "payment_method": None,
    "payment_method_configuration_details": None,
    "payment_method_options": {
        "card": {
            "installments": None,
            "mandate_options": None,
            "network": None,
            "request_three_d_secure": "automatic",
        }
    },
    "payment_method_types": ["card"],
    "processing": None,
    "receipt_email": None,
    "review": None,
    "setup_future_usage": None,
    "shipping": None,
    "source": None,
    "statement_descriptor": None,
    "statement_descriptor_suffix": None,
    "transfer_data": None,
    "transfer_group": None,
}

_BILLING_DETAILS: dict[str, Any] = {
    "address": {"city": None, "country": None, "line1": None, "line2": None, "postal_code": None, "state": None},
    "email": None,
    "name": None,
    "phone": None,
    "tax_id": None,
}

_CHARGE: dict[str, Any] = {
    "id": None,
    "object": "charge",
    "amount_captured": 0,
    "amount_refunded": 0,
    "application": None,
    "application_fee": None,
    "application_fee_amount": None,
    "balance_transaction": None,
    "billing_details": _BILLING_DETAILS,
    "calculated_statement_descriptor": "STAGEDOOR SANDBOX",
    "captured": False,
    "customer": None,
    "description": None,
    "disputed": False,
    "failure_balance_transaction": None,
    "failure_code": None,
    "failure_message": None,
    "fraud_details": {},
    "livemode": False,
    "metadata": {},
    "on_behalf_of": None,
    "paid": False,
    "receipt_email": None,
    "receipt_number": None,
    "receipt_url": None,
    "refunded": False,
    "review": None,
    "shipping": None,
    "source_transfer": None,
    "statement_descriptor": None,
    "statement_descriptor_suffix": None,
    "transfer_data": None,
    "transfer_group": None,
}

_REFUND: dict[str, Any] = {
    "id": None,
    "object": "refund",
    "balance_transaction": None,
    "customer": None,
    "customer_account": None,
    "destination_details": {"card": {"type": "refund"}, "type": "card"},
    "metadata": {},
    "reason": None,
    "receipt_number": None,
    "source_transfer_reversal": None,
    "status": "succeeded",
    "transfer_reversal": None,
}

_BALANCE_TRANSACTION: dict[str, Any] = {
    "id": None,
    "object": "balance_transaction",
    "balance_type": "payments",
    "exchange_rate": None,
    "status": "available",
}

_ACCOUNT: dict[str, Any] = {
    "id": None,
    "object": "account",
    "business_profile": {
        "annual_revenue": None,
        "estimated_worker_count": None,
        "mcc": None,
        "minority_owned_business_designation": None,
        "name": None,
        "product_description": None,
        "support_address": None,
        "support_email": None,
        "support_phone": None,
        "support_url": None,
        "url": None,
    },
    "charges_enabled": False,
    "details_submitted": False,
    "future_requirements": {
        "alternatives": [],
        "current_deadline": None,
        "currently_due": [],
        "disabled_reason": None,
        "errors": [],
        "eventually_due": [],
        "past_due": [],
        "pending_verification": [],
    },
    "metadata": {},
    "payouts_enabled": False,
    "tos_acceptance": {"date": None, "ip": None, "user_agent": None},
}

_DISPUTE: dict[str, Any] = {
    "id": None,
    "object": "dispute",
    "enhanced_eligibility_types": [],
    "livemode": False,
    "metadata": {},
}

_EVIDENCE: dict[str, Any] = {
    "access_activity_log": None,
    "billing_address": None,
    "cancellation_policy": None,
    "cancellation_policy_disclosure": None,
    "cancellation_rebuttal": None,
    "customer_communication": None,
    "customer_email_address": None,
    "customer_name": None,
    "customer_purchase_ip": None,
    "customer_signature": None,
    "duplicate_charge_documentation": None,
    "duplicate_charge_explanation": None,
    "duplicate_charge_id": None,
    "enhanced_evidence": {},
    "product_description": None,
    "receipt": None,
    "refund_policy": None,
    "refund_policy_disclosure": None,
    "refund_refusal_explanation": None,
    "service_date": None,
    "service_documentation": None,
    "shipping_address": None,
    "shipping_carrier": None,
    "shipping_date": None,
    "shipping_documentation": None,
    "shipping_tracking_number": None,
    "uncategorized_file": None,
    "uncategorized_text": None,
}

_TRANSFER: dict[str, Any] = {
    "id": None,
    "object": "transfer",
    "amount_reversed": 0,
    "description": None,
    "livemode": False,
    "metadata": {},
    "reversed": False,
    "source_type": "card",
}

_TRANSFER_REVERSAL: dict[str, Any] = {
    "id": None,
    "object": "transfer_reversal",
    "metadata": {},
    "source_refund": None,
}

_CHECKS = {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"}
_EXPIRY = {"exp_month": 8, "exp_year": 2040}


def payment_intent(record: Record, *, public: bool = False) -> dict[str, Any]:
    """A PaymentIntent; `public`: only what a publishable key may see."""
    full = _INTENT | record
    return {name: value for name, value in full.items() if name in _PUBLIC_INTENT} if public else full


def charge(record: Record) -> dict[str, Any]:
    """A Charge. The record's `card` is the test payment method's name; the details come from it."""
    full = _CHARGE | record
    card = CARDS[full.pop("card")]
    full["payment_method_details"] = {
        "card": {**_EXPIRY, **_card_facts(card), "checks": _CHECKS, "network": card.brand, "three_d_secure": None},
        "type": "card",
    }
    return full


def refund(record: Record) -> dict[str, Any]:
    """A Refund."""
    return _REFUND | record


def balance_transaction(record: Record) -> dict[str, Any]:
    """A BalanceTransaction."""
    return _BALANCE_TRANSACTION | record


def dispute(record: Record) -> dict[str, Any]:
    """A Dispute. The record holds the evidence that was sent, `due_by` and `submission_count`."""
    full = _DISPUTE | record
    sent = {name: text for name, text in full.get("evidence", {}).items() if text is not None}
    due_by = full.pop("due_by")
    full["balance_transactions"] = [balance_transaction(booked) for booked in record["balance_transactions"]]
    full["evidence"] = _EVIDENCE | sent
    full["evidence_details"] = {
        "due_by": due_by,
        "enhanced_eligibility": {},
        "has_evidence": bool(sent),
        "past_due": due_by < time.time(),
        "submission_count": full.pop("submission_count", 0),
    }
    return full


def account(record: Record) -> dict[str, Any]:
    """A connected Account."""
    url = f"/v1/accounts/{record['id']}/external_accounts"
    return {
        **_ACCOUNT,
        **record,
        "external_accounts": {"object": "list", "data": [], "has_more": False, "total_count": 0, "url": url},
    }


def transfer(record: Record) -> dict[str, Any]:
    """A Transfer. The record's `newest_reversals` and `reversal_count` are the list that is shown in it."""
    full = _TRANSFER | record
    newest, count = full.pop("newest_reversals", []), full.pop("reversal_count", 0)
    shown = [transfer_reversal(reversal) for reversal in newest]
    url = f"/v1/transfers/{record['id']}/reversals"
    full["reversals"] = object_list(url, shown, has_more=count > len(shown)) | {"total_count": count}
    return full


def transfer_reversal(record: Record) -> dict[str, Any]:
    """A TransferReversal."""
    return _TRANSFER_REVERSAL | record


def payment_method(record: Record) -> dict[str, Any]:
    """A PaymentMethod made from a test name."""
    card = CARDS[record["card"]]
    return {
        "id": record["id"],
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": _BILLING_DETAILS,
        "card": {
            **_EXPIRY,
            **_card_facts(card),
            "checks": _CHECKS,
            "display_brand": card.brand,
            "generated_from": None,
            "networks": {"available": [card.brand], "preferred": None},
            "three_d_secure_usage": {"supported": True},
        },
        "created": record["created"],
        "customer": None,
        "customer_account": None,
        "livemode": False,
        "metadata": {},
        "type": "card",
    }


SHOWN: dict[str, Callable[[Record], dict[str, Any]]] = {
    "payment_intents": payment_intent,
    "charges": charge,
    "refunds": refund,
    "payment_methods": payment_method,
    "balance_transactions": balance_transaction,
    "disputes": dispute,
    "accounts": account,
    "transfers": transfer,
    "transfer_reversals": transfer_reversal,
    "events": dict,
}
"""By table: what makes a record the object that is answered."""


def object_list(url: str, data: list[dict[str, Any]], *, has_more: bool) -> dict[str, Any]:
    """A page of a list."""
    return {"object": "list", "data": data, "has_more": has_more, "url": url}


def _card_facts(card: Card) -> dict[str, Any]:
    return {
        "brand": card.brand,
        "country": "US",
        "fingerprint": f"sandbox{card.brand}{card.last4}",
        "funding": card.funding,
        "last4": card.last4,
        "wallet": None,
    }
