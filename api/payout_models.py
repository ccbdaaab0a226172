"""What sellers are told of their money, as types (`api/models.py`)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta

from api.fields import Currency
from api.models import View

Signed = Annotated[int, Meta(description="Minor units of the currency.")]


class SellersAccount(View):
    """A seller's account at Stripe, as last heard of."""

    details_submitted: Annotated[bool, Meta(description="Whether Stripe has been told all it first asked for.")]
    transfers_enabled: Annotated[bool, Meta(description="Whether the house can pay.")]
    payouts_enabled: Annotated[bool, Meta(description="Whether Stripe pays it out to a bank.")]


class Balance(View):
    """What a seller has to get, and has got, in one currency."""

    currency: Currency
    owed: Annotated[Signed, Meta(description="Of what was sold, not paid yet. Below 0: too much was paid.")]
    paid_out: Annotated[Signed, Meta(description="To the account at Stripe, less what came back from it.")]
    disputed: Annotated[Signed, Meta(description="Of both, what buyers' banks hold until they have decided.")]


class Payouts(View):
    """A seller's money."""

    account: Annotated[SellersAccount | None, Meta(description="null: none was opened.")]
    fee_bps: Annotated[int, Meta(description="The house's part of every sale from now on, in 1/100 %.")]
    timing: Annotated[
        Literal["off", "at_once", "after_event"],
        Meta(description="When sellers are paid; `off`: not by Stripe."),
    ]
    balances: Annotated[list[Balance], Meta(description="One a currency; soon after an order, not with it.")]


class Onboarding(View):
    """A page at Stripe for the seller alone: who they are, and where their money goes."""

    url: Annotated[str, Meta(description="Good once.")]
    expires_at: datetime
