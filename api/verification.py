"""Showing that an address is one's own: whoever follows the link that was sent there reads its mail."""

from __future__ import annotations

from aiohttp import web

from adapters.letters import hash_of
from api import models
from api.answers import ACCEPTED, NO_CONTENT, Answer
from api.auth import unauthenticated
from api.calls import Call
from api.problems import Refused
from domain.errors import BadLink
from domain.marketplace import Ask
from domain.user import User


async def send(call: Call) -> web.Response:
    """POST /api/users/verification: another link, which takes the place of the one before."""
    services = call.services
    account = await services.accounts.by_id(call.user.user_id)
    if account is None:
        raise unauthenticated("the account is gone", token_given=True)
    if account.email_verified:
        return NO_CONTENT.response()
    services.limits.check_letter(call.remote, account.email)
    await services.letters.ask("verify_email", user_id=account.user_id)
    return ACCEPTED.response()


async def confirm(call: Call, body: models.LinkToken) -> web.Response:
    """POST /api/users/verify-email: the token alone says who it is; nobody need be signed in where they read mail."""
    services = call.services
    services.limits.check_link(call.remote)
    user_id = await services.letters.link_owner(body.token, "verify_email")
    if user_id is None:
        raise BadLink("this link was used, or is too old, or there is a newer one")
    ask: Ask[User, Answer] = Ask(call.cause_of(user_id), lambda _: NO_CONTENT)
    return (await services.marketplace.verify_email(user_id, hash_of(body.token), ask)).response()


async def require_verified(call: Call) -> None:
    """Raises `Refused` (403) for an account whose address is not verified."""
    if not await call.services.verified.read(call.user.user_id):
        raise Refused("email_not_verified", "follow the link that was sent to your address first")
