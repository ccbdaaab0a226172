"""A seller's money: what they have to get, and the account at Stripe that it goes to."""

from __future__ import annotations

from aiohttp import web

from api import payout_models
from api.answers import answer, respond
from api.calls import Call
from api.problems import Refused
from domain.errors import UserNotFound
from domain.marketplace import Ask
from domain.user import PayoutAccount, User

PAGE = "/sell#money"
"""Where the pages show a seller's money (web/static/money.js); Stripe sends them back there."""


async def read(call: Call) -> web.Response:
    """GET /api/payouts"""
    services = call.services
    user = await _seller(call)
    balances = await services.balances.read(user.id) or ()
    terms = services.settings.terms
    return respond(
        payout_models.Payouts(
            account=_shown(await _account_now(call, user)),
            fee_bps=terms.fee_bps,
            timing=terms.payouts,
            balances=[payout_models.Balance(one.currency, one.owed, one.paid_out, one.disputed) for one in balances],
        )
    )


async def open_account(call: Call) -> web.Response:
    """POST /api/payouts/account: takes no key, since a link that was used is good for nothing, and whoever has one is
    the seller to Stripe: it is not to be kept. Asked again, it is the same account and a new link."""
    services = call.services
    if services.settings.terms.payouts == "off":
        raise Refused("payouts_off", "sellers are paid by other means here: ask the house")
    services.limits.check_onboarding(call.user.user_id)
    user = await _seller(call)
    account_id = user.account_id
    if account_id is None:
        made = await services.gateway.create_account(user.id)
        account_id = await services.marketplace.open_account(user.id, made.account_id, call.command(_account_id))
    page = services.settings.public_url + PAGE
    link = await services.gateway.onboarding_link(account_id, return_url=page, refresh_url=page)
    return answer(201, payout_models.Onboarding(link.url, link.expires_at)).response()


async def _seller(call: Call) -> User:
    """Raises `UserNotFound` when the account was erased meanwhile."""
    user = await call.services.log.aggregate(User, call.user.user_id)
    if user is None or user.erased:
        raise UserNotFound("the account was erased")
    return user


async def _account_now(call: Call, user: User) -> PayoutAccount | None:
    """The account as last heard of; Stripe is asked as long as it is not all there."""
    known = user.account
    if known is None or (known.transfers_enabled and known.payouts_enabled):
        return known
    told = await call.services.account_looks.look(known.account_id)
    if told is None or told == known:
        return known
    ask: Ask[User, PayoutAccount | None] = Ask(call.cause_of(None), lambda now: now.account)
    return await call.services.marketplace.note_account(user.id, told, ask)


def _account_id(user: User) -> str:
    assert user.account_id is not None
    return user.account_id


def _shown(account: PayoutAccount | None) -> payout_models.SellersAccount | None:
    if account is None:
        return None
    return payout_models.SellersAccount(account.details_submitted, account.transfers_enabled, account.payouts_enabled)
