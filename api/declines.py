"""Why a card was refused, in codes a program can act on. Each answers 402 and leaves the order open for another try.

What the bank says beyond these (a lost card, suspicion of fraud, no reason at all) is `card_declined`: there is nothing
else for a buyer to do but to take another card.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from domain.order import ChargeFailure

CARD_DECLINED = "card_declined"

_CODES: Mapping[str, str] = MappingProxyType(
    {
        "insufficient_funds": "insufficient_funds",
        "expired_card": "expired_card",
        "incorrect_cvc": "incorrect_cvc",
        "invalid_cvc": "incorrect_cvc",
        "processing_error": "processing_error",
        "authentication_required": "authentication_failed",
        "payment_intent_authentication_failure": "authentication_failed",
    }
)
"""Stripe's decline code or error code (docs.stripe.com/declines/codes, docs.stripe.com/error-codes) → ours."""

DECLINES = (CARD_DECLINED, *sorted(set(_CODES.values())))
"""Every code there is, for the list of routes."""

_ADVICE: Mapping[str, str] = MappingProxyType(
    {
        CARD_DECLINED: "try another card",
        "insufficient_funds": "there is not enough money on the card: try another one",
        "expired_card": "the card has expired: try another one",
        "incorrect_cvc": "the card's security code is wrong: try again, or another card",
        "processing_error": "the card could not be processed: try again in a moment",
        "authentication_failed": "the buyer was not recognised by the card's bank: try again, or another card",
    }
)


def code_of(failure: ChargeFailure) -> str:
    """The problem's code. What the bank said counts more than Stripe's summary of it."""
    return _CODES.get(failure.decline_code or "") or _CODES.get(failure.code) or CARD_DECLINED


def advice_for(code: str) -> str:
    """What the buyer can do."""
    return f"the order stays open: {_ADVICE[code]}"
