"""Balance transactions: every movement of money on the balance, as Stripe's BalanceTransaction records it.

Only the making of records; `balance.py` keeps them. Amounts are minor units. All money is available at once, as with
Stripe's test cards that bypass the pending balance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

CHARGE_FEE_BASIS_POINTS = 150
"""1.5 % of each charge (1/100 %), rounded half up …"""
CHARGE_FEE_FIXED = 25
"""… and this much more, in minor units: Stripe's price for European cards. Refunds do not bring it back."""
DISPUTE_FEE = 1_500
"""What Stripe takes when a bank withdraws a charge, in minor units; winning does not bring it back."""
_BASIS_POINTS = 10_000


@dataclass(frozen=True, slots=True)
class Kind:
    """Stripe's two words for what a movement is (docs.stripe.com/reports/balance-transaction-types)."""

    type: str
    reporting_category: str


CHARGE = Kind("charge", "charge")
REFUND = Kind("refund", "refund")
REFUND_FAILURE = Kind("refund_failure", "refund_failure")
DISPUTE = Kind("adjustment", "dispute")
DISPUTE_REVERSAL = Kind("adjustment", "dispute_reversal")
TRANSFER = Kind("transfer", "transfer")
TRANSFER_REVERSAL = Kind("transfer_refund", "transfer_reversal")


def charge_fee(amount: int) -> int:
    """What Stripe keeps of a charge: never more than the charge itself."""
    share = (amount * CHARGE_FEE_BASIS_POINTS + _BASIS_POINTS // 2) // _BASIS_POINTS
    return min(amount, share + CHARGE_FEE_FIXED)


def transaction(
    identifier: str,
    kind: Kind,
    source: dict[str, Any],
    amount: int,
    *,
    created: int,
    fee: int = 0,
    fee_description: str = "Stripe processing fees",
    description: str | None = None,
) -> dict[str, Any]:
    """The movement of `amount` (negative: off the balance) that `source` has caused, an object with id and currency."""
    fees = [
        {
            "amount": fee,
            "application": None,
            "currency": source["currency"],
            "description": fee_description,
            "type": "stripe_fee",
        }
    ]
    return {
        "id": identifier,
        "amount": amount,
        "available_on": created,
        "created": created,
        "currency": source["currency"],
        "description": description,
        "fee": fee,
        "fee_details": fees if fee else [],
        "net": amount - fee,
        "reporting_category": kind.reporting_category,
        "source": source["id"],
        "type": kind.type,
    }
