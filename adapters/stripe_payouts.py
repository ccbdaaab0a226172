"""Sellers' money at Stripe Connect: their accounts, transfers to them and back (separate charges and transfers)."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any
from uuid import UUID

from adapters.stripe_amounts import to_stripe
from adapters.stripe_client import StripeClient, checked, path
from adapters.stripe_objects import AccountLinkObject, AccountObject, Tagged
from domain.payouts import Reversal, Transfer
from domain.ports import OnboardingLink
from domain.user import PayoutAccount


class StripePayouts(StripeClient):
    """`domain.ports.PayoutGateway`, and the part of `PaymentGateway` that pays sellers."""

    async def transfer(self, order_id: UUID, transfer: Transfer) -> str:
        """See `domain.ports.PaymentGateway`. Stripe forgets keys after a day: what was made before is looked up."""
        tagged = _tags(order_id, transfer)
        async for known in self._all("transfers", {"transfer_group": str(order_id)}, Tagged):
            if known.metadata == tagged:
                return known.id

        def make(key: str) -> Awaitable[Any]:
            wanted = {
                "amount": to_stripe(transfer.money),
                "currency": transfer.money.currency.lower(),
                "destination": transfer.account_id,
                "source_transaction": transfer.charge_id,
                "transfer_group": str(order_id),
                "metadata": tagged,
            }
            return self._post("transfers", wanted, key)

        return (await self._made(make, f"order-{order_id}-transfer-{transfer.number}", Tagged)).id

    async def reverse(self, order_id: UUID, reversal: Reversal) -> str:
        """See `domain.ports.PaymentGateway`. What was made before is looked up, too."""
        tagged = _tags(order_id, reversal)
        reversals = path("transfers", reversal.transfer_id, "reversals")
        async for known in self._all(reversals, {}, Tagged):
            if known.metadata == tagged:
                return known.id

        def make(key: str) -> Awaitable[Any]:
            return self._post(reversals, {"amount": to_stripe(reversal.money), "metadata": tagged}, key)

        return (await self._made(make, f"order-{order_id}-reversal-{reversal.number}", Tagged)).id

    async def create_account(self, user_id: UUID) -> PayoutAccount:
        """See `domain.ports.PayoutGateway`.

        The house bears Stripe's fees and what a seller cannot pay back; Stripe asks sellers for what it needs to know.
        """

        def make(key: str) -> Awaitable[Any]:
            wanted = {
                # What used to be the type `express` (docs.stripe.com/connect/migrate-to-controller-properties).
                "controller": {
                    "fees": {"payer": "application"},
                    "losses": {"payments": "application"},
                    "stripe_dashboard": {"type": "express"},
                },
                "capabilities": {"transfers": {"requested": True}},
                "metadata": {"user_id": str(user_id)},
            }
            return self._post("accounts", wanted, key)

        return (await self._made(make, f"account-{user_id}", AccountObject)).account()

    async def fetch_account(self, account_id: str) -> PayoutAccount:
        """See `domain.ports.PayoutGateway`."""
        return (await self._ask(self._get(path("accounts", account_id)), AccountObject)).account()

    async def onboarding_link(self, account_id: str, *, return_url: str, refresh_url: str) -> OnboardingLink:
        """See `domain.ports.PayoutGateway`."""
        wanted = {
            "account": account_id,
            "type": "account_onboarding",
            "return_url": return_url,
            "refresh_url": refresh_url,
        }
        link = await self._ask(self._post("account_links", wanted), AccountLinkObject)
        return checked(link.link)


def _tags(order_id: UUID, move: Transfer | Reversal) -> dict[str, str]:
    """The metadata by which it is found again."""
    return {"order_id": str(order_id), "seller_id": str(move.seller_id), "number": str(move.number)}
