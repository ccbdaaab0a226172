"""What every request under /v1 goes through: key, parameters, idempotency, one unit of work, durable, answered.

fail_next ─ parse ─ authenticate ─ idempotency key ─ operation ─ committed ─ delay_ms ─ (answer lost) ─ answer
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import logging
import time
from collections.abc import Awaitable, Callable

from aiohttp import web

from sandbox.calls import Call, Operation
from sandbox.errors import INVALID_REQUEST, StripeError, invalid, server_error
from sandbox.events import Events
from sandbox.faults import Faults
from sandbox.idempotency import IdempotencyKeys, SavedAnswer, fingerprint
from sandbox.ids import random_text
from sandbox.objects import API_VERSION
from sandbox.parameters import Parameters
from sandbox.schema import encode
from sandbox.store import Store, StoreError

FORM = "application/x-www-form-urlencoded"
_PUBLISHABLE = "pk_"

Handler = Callable[[web.Request], Awaitable[web.Response]]

log = logging.getLogger("sandbox")


class _Exchange:
    """One request and what is known of its answer so far."""

    def __init__(self, request: web.Request) -> None:
        self.request = request
        self.id = f"req_{random_text(14)}"
        version = request.headers.get("Stripe-Version", API_VERSION)
        self.headers = {
            "Request-Id": self.id,
            "Stripe-Version": version if version.isascii() else API_VERSION,
            # A buyer's page may be served from another port; a key is needed all the same.
            "Access-Control-Allow-Origin": "*",
        }
        self.key_in_use: str | None = None
        """The idempotency key this request has taken and must give back."""

    def answer(self, saved: SavedAnswer) -> web.Response:
        if saved.status == web.HTTPUnauthorized.status_code:
            self.headers["WWW-Authenticate"] = 'Bearer realm="Stripe"'
        return web.Response(
            body=saved.body.encode(), status=saved.status, headers=self.headers, content_type="application/json"
        )


class Pipeline:
    """Turns operations into HTTP handlers."""

    def __init__(self, store: Store, events: Events, faults: Faults, secret_key: str) -> None:
        self._store = store
        self._events = events
        self._faults = faults
        self._secret_key = secret_key.encode()
        self._keys = IdempotencyKeys(store)

    def handler(self, operation: Operation, *, public: bool = False) -> Handler:
        """`public`: a publishable key will do."""

        async def handle(request: web.Request) -> web.Response:
            exchange = _Exchange(request)
            lost = False
            try:
                try:
                    self._fail_if_told()
                    call = self._call(exchange, await _parameters(request), public=public)
                    answer = await self._answer_once(exchange, operation, call)
                    lost = _was_attempted(call, request.path, answer) and self._faults.take_lost_answer()
                except StripeError as error:
                    answer = _of_error(error, exchange.id)
                except StoreError:
                    answer = _of_error(server_error(), exchange.id)
                if self._faults.now.delay_ms:
                    await asyncio.sleep(self._faults.now.delay_ms / 1000)
            finally:
                # Only now: while its answer is held back, a request is still running for everybody else.
                if exchange.key_in_use is not None:
                    self._keys.end(exchange.key_in_use)
            if lost and request.transport is not None:
                # What is written after this goes nowhere.
                request.transport.abort()
            return exchange.answer(answer)

        return handle

    def _fail_if_told(self) -> None:
        status = self._faults.take_failure()
        if status is not None:
            raise server_error(status)

    def _call(self, exchange: _Exchange, parameters: Parameters, *, public: bool) -> Call:
        request = exchange.request
        by_publishable_key = self._authenticate(request, parameters)
        if by_publishable_key and not public:
            raise StripeError(
                403, INVALID_REQUEST, "A publishable key may not do this: use a secret key.", code="secret_key_required"
            )
        return Call(
            store=self._store,
            events=self._events,
            parameters=parameters,
            identifier=request.match_info.get("id", ""),
            parent=request.match_info.get("transfer", ""),
            public=by_publishable_key,
            origin=f"{request.scheme}://{request.host}",
            now=int(time.time()),
            request=exchange.id,
            idempotency_key=(request.headers.get("Idempotency-Key") or None) if request.method == "POST" else None,
        )

    def _authenticate(self, request: web.Request, parameters: Parameters) -> bool:
        """Whether the key is a publishable one. Raises StripeError 401 when there is no good key.

        A page sends its publishable key as the parameter `key`, because a header would need a preflight. Any
        publishable key is taken: what such a caller may do hangs on the intent's client secret.
        """
        key = _key_in_header(request) or parameters.text("key")
        if key is None:
            raise StripeError(401, INVALID_REQUEST, "No API key was sent (Authorization: Bearer sk_…).")
        if key.startswith(_PUBLISHABLE):
            return True
        if not hmac.compare_digest(key.encode(), self._secret_key):
            raise StripeError(401, INVALID_REQUEST, f"Invalid API Key provided: ***{key[-4:]}")
        return False

    async def _answer_once(self, exchange: _Exchange, operation: Operation, call: Call) -> SavedAnswer:
        """The operation's answer, or the one its idempotency key has already had. Raises StripeError, StoreError."""
        key = call.idempotency_key
        if key is None:
            return await self._answer(operation, call, "")
        print_of_request = fingerprint(exchange.request.path, call.parameters.pairs, public=call.public)
        saved = self._keys.begin(key, print_of_request, call.now)
        exchange.headers["Idempotency-Key"] = key
        if saved is not None:
            exchange.headers["Idempotent-Replayed"] = "true"
            exchange.headers["Original-Request"] = saved.request
            return saved
        exchange.key_in_use = key
        return await self._answer(operation, call, print_of_request)

    async def _answer(self, operation: Operation, call: Call, print_of_request: str) -> SavedAnswer:
        assert call.request is not None
        try:
            with self._store.unit():
                answer, saved = _outcome(operation, call)
                if saved and call.idempotency_key is not None:
                    self._keys.save(call.idempotency_key, print_of_request, call.now, answer)
        except StoreError:
            raise
        except Exception:
            log.exception("request %s failed", call.request)
            raise server_error() from None
        await self._store.committed()
        return answer


def _outcome(operation: Operation, call: Call) -> tuple[SavedAnswer, bool]:
    """The answer, and whether an idempotency key keeps it. A declined card is an outcome too, with its work kept."""
    assert call.request is not None
    try:
        return SavedAnswer(200, encode(operation(call)), call.request), True
    except StripeError as error:
        return _of_error(error, call.request), error.saved


def _of_error(error: StripeError, request_id: str) -> SavedAnswer:
    return SavedAnswer(error.status, encode({"error": error.error}), request_id)


async def _parameters(request: web.Request) -> Parameters:
    if request.method != "POST":
        return Parameters(request.rel_url.raw_query_string)
    try:
        body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise StripeError(413, INVALID_REQUEST, "The body is too large.") from None
    if body and request.content_type != FORM:
        raise invalid(f"The body must be {FORM}.")
    try:
        return Parameters(body.decode())
    except UnicodeDecodeError:
        raise invalid("The body is not UTF-8.") from None


def _key_in_header(request: web.Request) -> str | None:
    """The key of `Authorization: Bearer KEY`, or of Basic with the key as user name."""
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    if not value.isascii():
        return None
    if scheme.lower() == "bearer":
        return value.strip() or None
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[0] or None
        except (binascii.Error, UnicodeDecodeError):
            return None
    return None


def _was_attempted(call: Call, path: str, answer: SavedAnswer) -> bool:
    """Whether this was an attempt on a card that the bank has answered, now or when the key was first used."""
    confirms = path.endswith("/confirm") or ("confirm", "true") in call.parameters.pairs
    return confirms and answer.status in (200, 402)
