"""A dispute as Stripe tells of it (docs.stripe.com/api/disputes/object), and what the domain makes of it."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from adapters.stripe_amounts import from_stripe
from adapters.stripe_objects import BalanceTransaction, Reference, at, id_of
from domain.money import Money
from domain.order_disputes import DisputeWord
from domain.payouts import Dispute

FUNDS_WITHDRAWN, FUNDS_REINSTATED = "charge.dispute.funds_withdrawn", "charge.dispute.funds_reinstated"


class EvidenceDetails(msgspec.Struct):
    """`evidence_details`: until when the house may answer."""

    due_by: int | None = None


class DisputeObject(msgspec.Struct):
    """Amounts as Stripe counts them; `balance_transactions` are in the currency of the house's balance."""

    id: str
    amount: int
    currency: str
    reason: str
    status: str
    charge: str | Reference
    created: int = 0
    payment_intent: str | Reference | None = None
    balance_transactions: list[BalanceTransaction] = []
    evidence_details: EvidenceDetails | None = None

    def word(self, event_type: str = "") -> DisputeWord:
        """What it says, by itself or in an event. Raises `msgspec.ValidationError`."""
        money = from_stripe(self.amount, self.currency)
        due_by = self.evidence_details.due_by if self.evidence_details else None
        charge_id = id_of(self.charge)
        assert charge_id is not None
        dispute = Dispute(self.id, charge_id, money, self.reason, self.status, at(due_by) if due_by else None)
        taken = [moved for moved in self.balance_transactions if moved.amount < 0]
        given_back = any(moved.amount > 0 for moved in self.balance_transactions)
        return DisputeWord(
            dispute,
            _fee(taken, money.currency) if taken or event_type == FUNDS_WITHDRAWN else None,
            given_back or event_type == FUNDS_REINSTATED,
        )


def _fee(taken: Iterable[BalanceTransaction], currency: str) -> Money:
    """What Stripe keeps for the withdrawal; nothing, while it does not say, or says it in a way not known here."""
    try:
        fees = [from_stripe(moved.fee, moved.currency) for moved in taken]
    except msgspec.ValidationError:
        fees = []
    if len({fee.currency for fee in fees}) != 1:
        return Money(0, currency)
    return Money(sum(fee.amount for fee in fees), fees[0].currency)
