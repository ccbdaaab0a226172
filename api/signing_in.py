"""Sign-up, sign-in, refresh, sign-out: how a person gets tokens and loses them.

A refresh token is `<session id>.<secret>`. The session is the family: each refresh exchanges the newest secret for the
next, of which only the SHA-256 is stored, and a secret that was used before ends the session.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from aiohttp import web

from api import browser_sessions, models
from api.answers import NO_CONTENT, Answer, answer
from api.auth import LIFETIME
from api.calls import Call
from api.emails import checked, normalised
from api.ids import new_id
from api.new_passwords import check_new_password
from api.problems import Refused
from api.sealed_answers import sealed_once
from domain.marketplace import Ask
from domain.records import Account, Session
from domain.user import User

SESSION_LIFETIME = timedelta(days=30)
"""From signing in, however often it is refreshed: once a month the password is asked for."""

SECRET_BYTES = 32


async def sign_up(call: Call, body: models.NewAccount) -> web.Response:
    """POST /api/users/signup"""
    services = call.services
    browser_sessions.is_wanted(call)
    services.limits.check_sign_up(call.remote)
    email = checked(body.email, "email")
    check_new_password(body.password, email, body.name)
    user_id = new_id()
    session, refresh_token = _new_session(user_id)
    account = Account(user_id, email, body.name, await services.passwords.hash(body.password))
    access_token = services.tokens.issue(user_id, session.session_id, is_admin=False)
    signed_in = answer(201, _signed_in(account, access_token, refresh_token))
    once = None if call.key is None else await sealed_once(call, call.key, email, body.password)
    ask: Ask[User, Answer] = Ask(call.cause_of(user_id), lambda _: signed_in, once)
    return _handed_over(call, await services.marketplace.sign_up(account, session, ask))


async def sign_in(call: Call, body: models.Credentials) -> web.Response:
    """POST /api/users/signin: takes as long for an address nobody has."""
    services = call.services
    browser_sessions.is_wanted(call)
    email = normalised(body.email)
    services.limits.check_password(email, call.remote)
    account = await services.accounts.by_email(email)
    encoded = None if account is None else account.password_hash
    if not await services.passwords.verify(encoded, body.password) or account is None:
        raise _bad_credentials()
    session, refresh_token = _new_session(account.user_id)
    if not await services.accounts.begin_session(session, account.password_hash):
        raise _bad_credentials()
    access_token = await _access_token(call, account.user_id, session.session_id)
    return _handed_over(call, answer(200, _signed_in(account, access_token, refresh_token)))


async def refresh(call: Call, body: models.RefreshRequest) -> web.Response:
    """POST /api/users/refresh"""
    services = call.services
    brought = browser_sessions.brought(call)
    session_id, secret = _parse(brought or body.refresh_token or "")
    next_secret = secrets.token_urlsafe(SECRET_BYTES)
    user_id = await services.accounts.rotate(session_id, _hash(secret), _hash(next_secret))
    account = None if user_id is None else await services.accounts.by_id(user_id)
    if account is None:
        await services.ended_sessions.poll()
        raise _bad_refresh_token()
    access_token = await _access_token(call, account.user_id, session_id)
    return _handed_over(call, answer(200, _signed_in(account, access_token, f"{session_id}.{next_secret}")))


async def sign_out(call: Call) -> web.Response:
    """POST /api/users/signout"""
    response = browser_sessions.taken_back(call, NO_CONTENT.response())
    await call.services.accounts.end_session(call.user.session_id)
    await call.services.ended_sessions.spread()
    return response


def _handed_over(call: Call, signed_in: Answer) -> web.Response:
    return browser_sessions.handed_over(call, signed_in, int(SESSION_LIFETIME.total_seconds()))


async def _access_token(call: Call, user_id: UUID, session_id: UUID) -> str:
    user = await call.services.log.aggregate(User, user_id)
    return call.services.tokens.issue(user_id, session_id, is_admin=user is not None and user.admin)


def _new_session(user_id: UUID) -> tuple[Session, str]:
    """A session, and its first refresh token."""
    session_id, secret = uuid4(), secrets.token_urlsafe(SECRET_BYTES)
    expires_at = datetime.now(UTC) + SESSION_LIFETIME
    return Session(session_id, user_id, _hash(secret), expires_at), f"{session_id}.{secret}"


def _parse(refresh_token: str) -> tuple[UUID, str]:
    session_id, _, secret = refresh_token.partition(".")
    try:
        return UUID(session_id), secret
    except ValueError:
        raise _bad_refresh_token() from None


def _hash(secret: str) -> bytes:
    """A fast hash will do: the secret is 256 random bits, there is nothing to guess."""
    return hashlib.sha256(secret.encode()).digest()


def _signed_in(account: Account, access_token: str, refresh_token: str) -> models.SignedIn:
    return models.SignedIn(
        user=models.User(account.user_id, account.email, account.name, account.email_verified),
        access_token=access_token,
        refresh_token=refresh_token,
        token_type="Bearer",  # noqa: S106 - the kind of token, not one
        expires_in=int(LIFETIME.total_seconds()),
    )


def _bad_credentials() -> Refused:
    return Refused("bad_credentials", "the address or the password is wrong")


def _bad_refresh_token() -> Refused:
    return Refused("bad_refresh_token", "sign in again")
