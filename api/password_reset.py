"""A new password for who has lost theirs, by a link to the account's address."""

from __future__ import annotations

from aiohttp import web

from adapters.letters import hash_of
from api import models
from api.answers import ACCEPTED, NO_CONTENT, Answer
from api.calls import Call
from api.emails import normalised
from api.new_passwords import check_new_password
from domain.errors import BadLink
from domain.marketplace import Ask
from domain.records import AccountChange
from domain.user import User


async def ask(call: Call, body: models.PasswordResetRequest) -> web.Response:
    """POST /api/users/password-reset: whether there is such an account is not even looked up before the answer."""
    email = normalised(body.email)
    call.services.limits.check_letter(call.remote, email)
    await call.services.letters.ask("password_reset", recipient=email)
    return ACCEPTED.response()


async def confirm(call: Call, body: models.PasswordReset) -> web.Response:
    """POST /api/users/password-reset/confirm: signs out everywhere; the link is good until a password is taken."""
    services = call.services
    services.limits.check_link(call.remote)
    user_id = await services.letters.link_owner(body.token, "password_reset")
    account = None if user_id is None else await services.accounts.by_id(user_id)
    if account is None:
        raise BadLink("this link was used, or is too old, or there is a newer one")
    check_new_password(body.password, account.email, account.name)
    change = AccountChange(account.user_id, password_hash=await services.passwords.hash(body.password))
    asked: Ask[User, Answer] = Ask(call.cause_of(account.user_id), lambda _: NO_CONTENT)
    done = await services.marketplace.reset_password(change, hash_of(body.token), asked)
    await services.ended_sessions.spread()
    return done.response()
