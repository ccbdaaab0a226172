"""A whole marketplace in the test's own event loop: the API on a real port, PostgreSQL, and the Stripe sandbox.

There is no relay and no worker: the read models are empty until a test fills them (`House.project`), so that what the
API answers from the log is tried as well.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from aiohttp import web
from aiohttp.test_utils import TestServer

from adapters.settings import Settings
from api.app import make_app
from api.services import SERVICES, Services
from domain.published import PublishedEvent
from projections.models import MODELS
from projections.projection import fold
from projections.writer import Writer
from sandbox.server import make_app as make_sandbox

PASSWORD = "correct horse battery"
SECRET_KEY, WEBHOOK_SECRET = "sk_test_house", "whsec_house"
EVENT = {"name": "Semi-final", "starts_at": "2030-07-14T19:00:00Z", "venue": "AT&T Stadium"}


@dataclass(frozen=True)
class Answer:
    """A response, read to its end."""

    status: int
    headers: Mapping[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        return msgspec.json.decode(self.raw) if self.raw else None

    @property
    def code(self) -> str | None:
        return self.body.get("code") if isinstance(self.body, dict) else None

    @property
    def fields(self) -> list[str]:
        """The fields a 422 names."""
        return [error["field"] for error in self.body["errors"]]


@dataclass
class Person:
    """Somebody with an account."""

    id: str
    email: str
    token: str
    refresh_token: str


class House:
    """One API process of a marketplace, and a client of it."""

    def __init__(self, session: aiohttp.ClientSession, url: str, services: Services, sandbox_url: str) -> None:
        self._session = session
        self.url = url
        self.services = services
        self.sandbox_url = sandbox_url

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        token: str | None = None,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        raw: bytes | None = None,
    ) -> Answer:
        """One request, `/api` in front of `path` unless it begins with `//`."""
        sent = dict(headers or {})
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        if key is not None:
            sent["Idempotency-Key"] = key
        data = raw
        if body is not None:
            data = msgspec.json.encode(body)
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        url = self.url + (path[1:] if path.startswith("//") else f"/api{path}")
        async with self._session.request(method, url, data=data, headers=sent, allow_redirects=False) as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    async def person(self, name: str = "somebody") -> Person:
        """Signs somebody up."""
        body = {"email": f"{name}-{uuid.uuid4().hex}@example.org", "password": PASSWORD, "name": name}
        answer = await self.call("POST", "/users/signup", body)
        assert answer.status == 201, answer.raw
        user = answer.body["user"]
        return Person(user["id"], user["email"], answer.body["access_token"], answer.body["refresh_token"])

    async def listing(self, seller: Person, **more: Any) -> Any:
        """Lists tickets; the body of the answer."""
        body = {"title": "Category 2", "event": EVENT, "price": {"amount": 2500, "currency": "EUR"}, "quantity": 5}
        answer = await self.call("POST", "/tickets", body | more, token=seller.token)
        assert answer.status == 201, answer.raw
        return answer.body

    async def order(self, buyer: Person, ticket_id: str, quantity: int = 1, key: str | None = None) -> Answer:
        body = {"items": [{"ticket_id": ticket_id, "quantity": quantity}]}
        return await self.call("POST", "/orders", body, token=buyer.token, key=key)

    async def pay(
        self, buyer: Person, order_id: str, how: str | None = "pm_card_visa", key: str | None = None
    ) -> Answer:
        body = {"order_id": order_id} | ({} if how is None else {"payment_method": how})
        return await self.call("POST", "/payments", body, token=buyer.token, key=key)

    async def ordered(self, **more: Any) -> tuple[Person, Person, Any, Any]:
        """A seller, a buyer, a listing and an order of one of its tickets."""
        seller, buyer = await self.person("seller"), await self.person("buyer")
        ticket = await self.listing(seller, **more)
        answer = await self.order(buyer, ticket["id"])
        assert answer.status == 201, answer.raw
        return seller, buyer, ticket, answer.body

    async def types(self, aggregate_id: str) -> list[str]:
        """The types of an aggregate's events, in order."""
        return [event.type for event in await self.services.log.history(uuid.UUID(aggregate_id))]

    async def sandbox(self, method: str, path: str, body: object = None) -> Any:
        """A request to the sandbox's own endpoints, or to Stripe's API in it."""
        headers = {"Authorization": f"Bearer {SECRET_KEY}"}
        async with self._session.request(method, self.sandbox_url + path, json=body, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def charges(self) -> int:
        """Charges that took money, ever."""
        state = await self.sandbox("GET", "/_sandbox/state")
        return int(state["charges"]["succeeded"])

    async def project(self) -> None:
        """Brings the read models up to the log's end, as relay and worker do."""
        events = await self.services.log.after(0, limit=100_000)
        for projection in MODELS.values():
            by_aggregate: dict[uuid.UUID, list[PublishedEvent]] = defaultdict(list)
            for event in events:
                if event.topic == projection.topic:
                    by_aggregate[event.subject].append(event)
            writer = Writer(self.services.pool, projection)
            known = await writer.look(by_aggregate, [0])
            changes = [fold(projection, known.versions.get(one, 0), run) for one, run in by_aggregate.items()]
            await writer.write([change for change in changes if change is not None], [], {0: events[-1].position})


def settings_of(database_url: str, data_dir: Path, **more: Any) -> Settings:
    """The settings tests run with: no rate limit, whatever else they want."""
    plain = Settings.from_environment(
        {
            "DATABASE_URL": database_url,
            "STAGEDOOR_DATA_DIR": str(data_dir),
            "STAGEDOOR_RATE_LIMIT": "off",
            "STRIPE_SECRET_KEY": SECRET_KEY,
            "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
        }
    )
    return replace(plain, **more)


@asynccontextmanager
async def running_sandbox(state_path: Path, webhook_url: str | None = None) -> AsyncIterator[str]:
    """The Stripe sandbox; yields its URL."""
    app = make_sandbox(
        state_path=state_path, secret_key=SECRET_KEY, webhook_url=webhook_url, webhook_secret=WEBHOOK_SECRET
    )
    async with serving(app) as url:
        yield url


@asynccontextmanager
async def running_house(settings: Settings, port: int | None = None) -> AsyncIterator[House]:
    """One API process (in this loop); its sandbox is the one of the settings."""
    app = make_app(settings)
    async with serving(app, port) as url, aiohttp.ClientSession() as session:
        yield House(session, url, app[SERVICES], settings.stripe_api_base or "")


@asynccontextmanager
async def serving(app: web.Application, port: int | None = None) -> AsyncIterator[str]:
    """Serves an application on loopback; yields its URL."""
    server = TestServer(app, host="127.0.0.1", port=port)
    await server.start_server()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        await server.close()


async def eventually(read: Callable[[], Awaitable[Any]], seconds: float = 5.0) -> Any:
    """Reads until it is true, or time is up; returns the last value."""
    end = asyncio.get_running_loop().time() + seconds
    while True:
        value = await read()
        if value or asyncio.get_running_loop().time() > end:
            return value
        await asyncio.sleep(0.02)
