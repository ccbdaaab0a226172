"""Calls to Stripe, or to a server that speaks its API: bounded in time, with one kind of failure.

The package makes the requests, with its keys, retries and errors; its answers are taken as they came. Its classes would
be made of them first, field by field, which takes six times as long as all else about a request, to be read once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec
import stripe

from adapters.settings import Settings, required
from domain.ports import PaymentUnavailable

log = logging.getLogger(__name__)

API_VERSION = "2026-08-26.dahlia"
"""Pinned, whatever the account's or the package's default is. From 2026-09-30.endive on Stripe refuses
`payment_method_types` (docs.stripe.com/changelog/endive/2026-09-30); its successor, `allowed_payment_method_types`, is
not known to the sandbox and to localstripe. This version is understood by all of them."""

TRY_SECONDS = 10.0
"""One try of one request: a card's bank may take several seconds."""
MAX_RETRIES = 1
"""After a broken connection, a conflict or a 5xx; the caller's retry with the same key takes it from there."""
CALL_SECONDS = 25.0
"""One call with its retries: under the half minute for which clients commonly wait."""
NEXT_KEY_SECONDS = 120
"""How long a key lasts that stands in for one with a refusal, see `_once`: far longer than a request is under way, and
than the clocks of two machines are apart."""
PAGE = 100
"""Objects in one page of a list: as many as Stripe gives."""
_LIVE_KEYS = ("sk_live_", "rk_live_")
"""docs.stripe.com/keys"""

_NOTHING: Mapping[str, Any] = MappingProxyType({})

T = TypeVar("T")


class _Page(msgspec.Struct, Generic[T]):
    data: list[T]
    has_more: bool = False


class _Listed(msgspec.Struct):
    id: str


class StripeClient:
    """What every part of the gateway shares. Used on one event loop; `close` gives its connections back."""

    def __init__(self, settings: Settings) -> None:
        """Needs `stripe_secret_key`; `stripe_api_base` None means Stripe itself. Raises `SettingsError`."""
        key = required(settings.stripe_secret_key, "STRIPE_SECRET_KEY")
        self.takes_real_money = key.startswith(_LIVE_KEYS)
        # It opens its connections with the first call, and trusts the authorities that come with the package.
        self._http = stripe.AIOHTTPClient(timeout=aiohttp.ClientTimeout(total=TRY_SECONDS))
        self._client = stripe.StripeClient(
            key,
            base_addresses={"api": settings.stripe_api_base.rstrip("/")} if settings.stripe_api_base else {},
            stripe_version=API_VERSION,
            max_network_retries=MAX_RETRIES,
            http_client=self._http,
        )

    async def close(self) -> None:
        """Closes the connections; no call may follow."""
        await self._http.close_async()  # type: ignore[no-untyped-call]

    async def _get(self, path: str, parameters: Mapping[str, Any] = _NOTHING) -> Any:
        """Asks for an object or a list by its path under `/v1/` (`path`). Raises `stripe.StripeError`."""
        return await self._request("get", path, parameters)

    async def _post(self, path: str, parameters: Mapping[str, Any] = _NOTHING, key: str | None = None) -> Any:
        """Makes or changes an object, once for every idempotency key. Raises `stripe.StripeError`."""
        return await self._request("post", path, parameters if key is None else {**parameters, "idempotency_key": key})

    async def _request(self, method: str, path: str, parameters: Mapping[str, Any]) -> Any:
        return (await self._client.raw_request_async(method, f"/v1/{path}", **parameters)).data

    async def _call(self, call: Awaitable[T]) -> T:
        """Waits for an answer, within bounds; what Stripe says of the request itself is passed on as it is."""
        try:
            async with asyncio.timeout(CALL_SECONDS):
                return await call
        except (stripe.CardError, stripe.InvalidRequestError):
            raise
        except (stripe.StripeError, aiohttp.ClientError, TimeoutError, OSError) as error:
            raise unavailable(error) from error

    async def _once(self, make: Callable[[str], Awaitable[T]], key: str) -> T:
        """Makes something under a key, once.

        Stripe keeps refusals under their keys, too, for a day: what it refused (an account that was not ready) it would
        go on refusing from memory. It says so; then nothing was made under that key, and another one is good. That is
        the key of the two minutes before first, since a request with it may still be under way.
        """
        now = int(time.time()) // NEXT_KEY_SECONDS
        for one in (key, f"{key}-{now - 1}"):
            try:
                return await self._call(make(one))
            except stripe.InvalidRequestError as error:
                if not _is_from_memory(error):
                    raise
        return await self._call(make(f"{key}-{now}"))

    async def _ask(self, call: Awaitable[Any], shape: type[T]) -> T:
        """The answer to a request that nobody but this house can be wrong about."""
        try:
            return read(await self._call(call), shape)
        except stripe.StripeError as error:
            raise unavailable(error) from error

    async def _made(self, make: Callable[[str], Awaitable[Any]], key: str, shape: type[T]) -> T:
        """As `_ask`, for what is to be made `_once`."""
        try:
            return read(await self._once(make, key), shape)
        except stripe.StripeError as error:
            raise unavailable(error) from error

    async def _find(self, call: Awaitable[Any], shape: type[T]) -> T | None:
        """An object by its id; None when Stripe knows none."""
        try:
            return read(await self._call(call), shape)
        except stripe.InvalidRequestError as error:
            if error.code == "resource_missing":
                return None
            raise unavailable(error) from error
        except stripe.StripeError as error:
            raise unavailable(error) from error

    async def _all(self, path: str, parameters: dict[str, Any], shape: type[T]) -> AsyncIterator[T]:
        """A whole list, page by page; every page is nearer to its end."""
        asked = parameters | {"limit": PAGE}
        while True:
            page = await self._ask(self._get(path, asked), _Page[Any])
            for item in page.data:
                yield read(item, shape)
            if not page.has_more or not page.data:
                return
            last = read(page.data[-1], _Listed).id
            if asked.get("starting_after") == last:
                raise PaymentUnavailable("the payment provider's list does not end")
            asked["starting_after"] = last


def path(*steps: str) -> str:
    """The path of an object, whatever its id is made of."""
    return "/".join(quote(step, safe="") for step in steps)


def read(answer: object, shape: type[T]) -> T:
    """The part of an answer that is known here. Raises `PaymentUnavailable` when it is none."""
    return checked(lambda: msgspec.convert(answer, shape))


def checked(make: Callable[[], T]) -> T:
    """What is made of an answer. Raises `PaymentUnavailable` when nothing can be."""
    try:
        return make()
    except msgspec.ValidationError as error:
        raise unavailable(error) from error


def _is_from_memory(error: stripe.StripeError) -> bool:
    return any(name.lower() == "idempotent-replayed" for name in error.headers or {})


def unavailable(error: Exception) -> PaymentUnavailable:
    """What the buyer cannot help. The log gets Stripe's request id and code, never the text: it may carry data."""
    code = getattr(error, "code", None)
    log.warning("Stripe: %s, code %s, request %s", type(error).__name__, code, getattr(error, "request_id", None))
    return PaymentUnavailable("the payment provider did not take the request")
