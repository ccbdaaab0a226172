"""A person's own account: who am I, change it, erase it."""

from __future__ import annotations

from aiohttp import web
from msgspec import UNSET

from api import models
from api.answers import NO_CONTENT, Answer, answer, respond
from api.auth import unauthenticated
from api.calls import Call
from api.emails import checked
from api.new_passwords import check_new_password
from api.problems import invalid
from domain.records import Account, AccountChange


async def current(call: Call) -> web.Response:
    """GET /api/users/currentuser: nobody, without a good token."""
    account = None if call.principal is None else await call.services.accounts.by_id(call.principal.user_id)
    return respond(models.CurrentUser(None if account is None else _view(account)))


async def change(call: Call, body: models.AccountChanges) -> web.Response:
    """PATCH /api/users/currentuser: a new password signs out everywhere else, a new address is to be verified."""
    services = call.services
    account = await own_account(call)
    email = _new_email(body, account)
    name = None if body.name is UNSET else body.name
    if body.password is not UNSET or email is not None:
        await _check_password(call, account, body)
    if email is not None:
        services.limits.check_letter(call.remote, email)
    password_hash = None
    if body.password is not UNSET:
        check_new_password(body.password, email or account.email, name or account.name)
        password_hash = await services.passwords.hash(body.password)
    changes = AccountChange(account.user_id, email, name, password_hash)
    verified = account.email_verified and email is None
    view = models.User(account.user_id, email or account.email, name or account.name, verified)
    changed: Answer = await services.marketplace.change_account(
        changes, account.email, call.user.session_id, call.command(lambda _: answer(200, models.CurrentUser(view)))
    )
    if password_hash is not None:
        await services.ended_sessions.spread()
    return changed.response()


async def erase(call: Call) -> web.Response:
    """DELETE /api/users/currentuser: the person is gone, what they sold and bought stays under a bare id."""
    erased: Answer = await call.services.marketplace.erase_account(
        call.user.user_id, call.command(lambda _: NO_CONTENT)
    )
    await call.services.ended_sessions.spread()
    return erased.response()


def _new_email(body: models.AccountChanges, account: Account) -> str | None:
    """The address it is to be; None when it stays, however it is written."""
    email = None if body.email is UNSET else checked(body.email, "email")
    return None if email == account.email else email


async def own_account(call: Call) -> Account:
    """The account of whoever asks. Raises `Refused` (401) when it was erased meanwhile."""
    account = await call.services.accounts.by_id(call.user.user_id)
    if account is None:
        raise unauthenticated("the account is gone", token_given=True)
    return account


async def _check_password(call: Call, account: Account, body: models.AccountChanges) -> None:
    """Whoever found an open browser has a token, not the password."""
    if body.current_password is UNSET:
        raise invalid("current_password", "needed to change the address or the password")
    call.services.limits.check_password(account.email, call.remote)
    if not await call.services.passwords.verify(account.password_hash, body.current_password):
        raise invalid("current_password", "not the account's password")


def _view(account: Account) -> models.User:
    return models.User(account.user_id, account.email, account.name, account.email_verified)
