"""Stripe's test payment methods and what each of them does (docs.stripe.com/testing).

A test name such as `pm_card_visa` stands for a card. Using it makes a payment method with an id of its own, as at
Stripe. There are no card numbers here and none are accepted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True, slots=True)
class Decline:
    """What the card's bank answers: Stripe's error code, decline code, and a sentence for the buyer."""

    code: str
    decline_code: str
    message: str


@dataclass(frozen=True, slots=True)
class Claim:
    """Why a buyer's bank disputes a charge. An inquiry only asks; it takes no money yet."""

    reason: str
    is_inquiry: bool = False


@dataclass(frozen=True, slots=True)
class Card:
    """A test card. `needs_authentication`: the buyer must pass 3-D Secure first; `decline` comes after it."""

    brand: str
    last4: str
    funding: str = "credit"
    decline: Decline | None = None
    needs_authentication: bool = False
    refund: Literal["pending", "fails"] | None = None
    """What its bank does with a refund: takes its time, or lets it fail after it seemed to have succeeded."""
    claim: Claim | None = None
    """How its bank disputes a charge, soon after it succeeded."""


GENERIC = Decline("card_declined", "generic_decline", "Your card was declined.")
INSUFFICIENT_FUNDS = Decline("card_declined", "insufficient_funds", "Your card has insufficient funds.")
AUTHENTICATION_REQUIRED = Decline(
    "authentication_required", "authentication_required", "Your card was declined: it must be authenticated first."
)

# Each of these exists as pm_card_NAME and as pm_card_visa_NAME.
_DECLINING = {
    "chargeDeclined": Card("visa", "0002", decline=GENERIC),
    "chargeDeclinedInsufficientFunds": Card("visa", "9995", decline=INSUFFICIENT_FUNDS),
    "chargeDeclinedLostCard": Card("visa", "9987", decline=replace(GENERIC, decline_code="lost_card")),
    "chargeDeclinedStolenCard": Card("visa", "9979", decline=replace(GENERIC, decline_code="stolen_card")),
    "chargeDeclinedFraudulent": Card("visa", "0019", decline=replace(GENERIC, decline_code="fraudulent")),
    "chargeDeclinedVelocityLimitExceeded": Card(
        "visa", "6975", decline=replace(GENERIC, decline_code="card_velocity_exceeded")
    ),
    "chargeDeclinedExpiredCard": Card(
        "visa", "0069", decline=Decline("expired_card", "expired_card", "Your card has expired.")
    ),
    "chargeDeclinedIncorrectCvc": Card(
        "visa", "0127", decline=Decline("incorrect_cvc", "incorrect_cvc", "Your card's security code is incorrect.")
    ),
    "chargeDeclinedProcessingError": Card(
        "visa",
        "0119",
        decline=Decline("processing_error", "processing_error", "Your card could not be processed. Try again soon."),
    ),
}

CARDS: dict[str, Card] = {
    "pm_card_visa": Card("visa", "4242"),
    "pm_card_visa_debit": Card("visa", "5556", "debit"),
    "pm_card_mastercard": Card("mastercard", "4444"),
    "pm_card_mastercard_debit": Card("mastercard", "8210", "debit"),
    "pm_card_mastercard_prepaid": Card("mastercard", "5100", "prepaid"),
    "pm_card_amex": Card("amex", "0005"),
    "pm_card_discover": Card("discover", "1117"),
    "pm_card_diners": Card("diners", "0004"),
    "pm_card_jcb": Card("jcb", "0505"),
    "pm_card_unionpay": Card("unionpay", "0005"),
    "pm_card_chargeCustomerFail": Card("visa", "0341", decline=GENERIC),
    "pm_card_authenticationRequired": Card("visa", "3184", needs_authentication=True),
    "pm_card_authenticationRequiredOnSetup": Card("visa", "3155", needs_authentication=True),
    "pm_card_authenticationRequiredChargeDeclinedInsufficientFunds": Card(
        "visa", "3178", decline=INSUFFICIENT_FUNDS, needs_authentication=True
    ),
    "pm_card_threeDSecureRequired": Card("visa", "3063", needs_authentication=True),
    "pm_card_threeDSecure2Required": Card("visa", "3220", needs_authentication=True),
    "pm_card_threeDSecureRequiredChargeDeclined": Card("visa", "1629", decline=GENERIC, needs_authentication=True),
    "pm_card_pendingRefund": Card("visa", "7726", refund="pending"),
    "pm_card_refundFail": Card("visa", "5126", refund="fails"),
    "pm_card_createDispute": Card("visa", "0259", claim=Claim("fraudulent")),
    "pm_card_createDisputeProductNotReceived": Card("visa", "2685", claim=Claim("product_not_received")),
    "pm_card_createDisputeInquiry": Card("visa", "1976", claim=Claim("fraudulent", is_inquiry=True)),
    **{f"pm_card_{name}": card for name, card in _DECLINING.items()},
    **{f"pm_card_visa_{name}": card for name, card in _DECLINING.items()},
}
"""Every test payment method, by Stripe's name."""
