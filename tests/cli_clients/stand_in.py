"""The REST contract in memory, as far as the client commands use it: a tool for their tests, with switches."""

from __future__ import annotations

import asyncio
import json
import threading
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from aiohttp import web

PAGE = 7
"""Entries on a page at most, whatever `limit` says: small, so that every test turns pages."""

DECLINED = ("pm_card_visa_chargeDeclined", "pm_card_chargeDeclinedInsufficientFunds")
Json = dict[str, Any]


@dataclass
class Switches:
    """What goes wrong, and how often."""

    oversell: bool = False
    """Orders are taken whether there are tickets or not."""
    forget_orders: bool = False
    """Completed orders vanish from the buyers' lists."""
    refuse_every: int = 0
    """Every n-th POST is answered with 503."""
    hide_listings: bool = False
    """A seller's list is empty, as while a read model is behind."""
    lose_every: int = 0
    """Every n-th POST does its work, but its answer is lost."""
    answer_seconds: float = 0.0
    """How long an order, or a listing, takes to be answered."""


class ProblemAnswerError(Exception):
    def __init__(self, status: int, code: str, errors: list[Json] | None = None, **headers: str) -> None:
        super().__init__(code)
        self.status, self.code, self.errors, self.headers = status, code, errors, headers

    def response(self) -> web.Response:
        body: Json = {"code": self.code, "title": self.code, "detail": f"refused with {self.code}"}
        if self.errors is not None:
            body["errors"] = self.errors
        headers = {name.replace("_", "-"): value for name, value in self.headers.items()}
        return web.json_response(body, status=self.status, headers=headers, content_type="application/problem+json")


@dataclass
class StandIn:
    switches: Switches = field(default_factory=Switches)
    users: dict[str, Json] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    tickets: dict[str, Json] = field(default_factory=dict)
    orders: dict[str, Json] = field(default_factory=dict)
    keys: dict[tuple[str, str], tuple[str, int, Json]] = field(default_factory=dict)
    collections: list[tuple[str, str]] = field(default_factory=list)
    posts: int = 0
    url: str = ""

    # --- the test's side ---------------------------------------------------------------------------------------------
    def account(self, email: str, password: str) -> str:
        """Makes an account without a request; its id."""
        self.users[email] = {"id": str(uuid.uuid4()), "email": email, "password": password}
        return str(self.users[email]["id"])

    def end_sessions(self) -> None:
        """Every access token is refused from now on."""
        self.tokens.clear()

    @contextmanager
    def serving(self) -> Iterator[Self]:
        """Serves on a free port of the loopback address, on a thread of its own."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
        runner = web.AppRunner(self._app(), shutdown_timeout=0.1)

        async def start() -> None:
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"

        asyncio.run_coroutine_threadsafe(start(), loop).result(5)
        try:
            yield self
        finally:
            asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(5)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(5)
            loop.close()

    # --- the contract's side -----------------------------------------------------------------------------------------
    def _app(self) -> web.Application:
        app = web.Application(middlewares=[self._problems])
        app.add_routes(
            [
                web.get("/readyz", self._ready),
                web.post("/api/users/signup", self._sign_up),
                web.post("/api/users/signin", self._sign_in),
                web.post("/api/users/refresh", self._refresh),
                web.get("/api/users/{id}/tickets", self._listed),
                web.post("/api/tickets", self._list),
                web.patch("/api/tickets/{id}", self._edit),
                web.get("/api/tickets", self._search),
                web.get("/api/tickets/{id}", self._look),
                web.post("/api/collection", self._collect),
                web.delete("/api/collection/{id}", self._drop),
                web.post("/api/orders", self._order),
                web.get("/api/orders", self._orders),
                web.delete("/api/orders/{id}", self._cancel),
                web.post("/api/payments", self._pay),
            ]
        )
        return app

    @web.middleware
    async def _problems(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        try:
            return await self._kept(request, handler)
        except ProblemAnswerError as problem:
            return problem.response()

    async def _kept(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Refusals, lost answers and idempotency keys, for every POST of a signed-in user."""
        if request.method != "POST" or request.path.startswith("/api/users"):
            return await handler(request)
        self.posts += 1
        if self.switches.refuse_every and self.posts % self.switches.refuse_every == 0:
            raise ProblemAnswerError(503, "overloaded", Retry_After="0")
        key = (self._user(request)["id"], request.headers["Idempotency-Key"])
        text = await request.text()
        if key in self.keys:
            known, status, body = self.keys[key]
            if known != request.path + text:
                raise ProblemAnswerError(422, "idempotency_key_reused", [])
            return web.json_response(body, status=status, headers={"Idempotent-Replayed": "true"})
        answer = await handler(request)
        assert isinstance(answer, web.Response)
        assert answer.text is not None
        self.keys[key] = (request.path + text, answer.status, json.loads(answer.text))
        if self.switches.lose_every and self.posts % self.switches.lose_every == 0:
            assert request.transport is not None
            request.transport.close()
        return answer

    async def _ready(self, _: web.Request) -> web.Response:
        return web.json_response({})

    async def _sign_up(self, request: web.Request) -> web.Response:
        body = await request.json()
        if body["email"] in self.users:
            raise ProblemAnswerError(409, "email_taken")
        self.account(body["email"], body["password"])
        return self._session(body["email"], 201)

    async def _sign_in(self, request: web.Request) -> web.Response:
        body = await request.json()
        if self.users.get(body["email"], {}).get("password") != body["password"]:
            raise ProblemAnswerError(401, "bad_credentials")
        return self._session(body["email"], 200)

    async def _refresh(self, _: web.Request) -> web.Response:
        raise ProblemAnswerError(401, "unauthenticated")

    async def _listed(self, request: web.Request) -> web.Response:
        seller = request.match_info["id"]
        listed = [] if self.switches.hide_listings else self.tickets.values()
        return _page(request, [self._shown(t) for t in listed if t["seller_id"] == seller])

    async def _list(self, request: web.Request) -> web.Response:
        user, body = self._user(request), await request.json()
        if body["quantity"] < 1:
            raise ProblemAnswerError(422, "validation_failed", [{"field": "quantity", "message": "must be at least 1"}])
        await asyncio.sleep(self.switches.answer_seconds)
        ticket = {**body, "id": str(uuid.uuid4()), "seller_id": user["id"], "held": 0, "sold": 0}
        self.tickets[ticket["id"]] = ticket
        return web.json_response(self._shown(ticket), status=201)

    async def _edit(self, request: web.Request) -> web.Response:
        ticket = self._ticket(request.match_info["id"])
        ticket.update(await request.json())
        return web.json_response(self._shown(ticket))

    async def _search(self, request: web.Request) -> web.Response:
        words = request.query["q"].casefold()
        return _page(request, [self._shown(t) for t in self.tickets.values() if words in t["title"].casefold()])

    async def _look(self, request: web.Request) -> web.Response:
        return web.json_response(self._shown(self._ticket(request.match_info["id"])))

    async def _collect(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.collections.append((self._user(request)["id"], body["ticket_id"]))
        return web.json_response(self._shown(self._ticket(body["ticket_id"])), status=201)

    async def _drop(self, request: web.Request) -> web.Response:
        self.collections.remove((self._user(request)["id"], request.match_info["id"]))
        return web.Response(status=204)

    async def _order(self, request: web.Request) -> web.Response:
        user, body = self._user(request), await request.json()
        await asyncio.sleep(self.switches.answer_seconds)
        items = []
        for item in body["items"]:
            ticket = self._ticket(item["ticket_id"])
            if self._shown(ticket)["available"] < item["quantity"] and not self.switches.oversell:
                raise ProblemAnswerError(409, "sold_out")
            items.append({**item, "title": ticket["title"], "price": ticket["price"]})
        now = datetime.now(UTC)
        for item in items:
            self.tickets[item["ticket_id"]]["held"] += item["quantity"]
        hold_seconds = min(self.tickets[item["ticket_id"]].get("hold_seconds", 900) for item in items)
        order = {
            "id": str(uuid.uuid4()),
            "buyer_id": user["id"],
            "status": "created",
            "items": items,
            "total": {"amount": sum(i["quantity"] * i["price"]["amount"] for i in items), "currency": "USD"},
            "created_at": now.isoformat(),
            "expires_at": (now + timedelta(seconds=hold_seconds)).isoformat(),
        }
        self.orders[order["id"]] = order
        asyncio.get_running_loop().call_later(hold_seconds, self._close, order, "expired")
        return web.json_response(order, status=201)

    async def _orders(self, request: web.Request) -> web.Response:
        buyer = self._user(request)["id"]
        mine = [order for order in self.orders.values() if order["buyer_id"] == buyer]
        if self.switches.forget_orders:
            mine = [order for order in mine if order["status"] != "completed"]
        return _page(request, mine)

    async def _cancel(self, request: web.Request) -> web.Response:
        order = self._open_order(request.match_info["id"])
        self._close(order, "cancelled")
        return web.json_response(order)

    async def _pay(self, request: web.Request) -> web.Response:
        body = await request.json()
        order = self._open_order(body["order_id"])
        if body["payment_method"] in DECLINED:
            raise ProblemAnswerError(402, "card_declined")
        self._close(order, "completed")
        return web.json_response({"order_id": order["id"], "status": "succeeded"}, status=201)

    # --- state -------------------------------------------------------------------------------------------------------
    def _session(self, email: str, status: int) -> web.Response:
        user = self.users[email]
        token = uuid.uuid4().hex
        self.tokens[token] = email
        body = {"user": {"id": user["id"], "email": email}, "access_token": token, "refresh_token": "used-up"}
        return web.json_response(body, status=status)

    def _user(self, request: web.Request) -> Json:
        email = self.tokens.get(request.headers.get("Authorization", "").removeprefix("Bearer "))
        if email is None:
            raise ProblemAnswerError(401, "unauthenticated", WWW_Authenticate="Bearer")
        return self.users[email]

    def _ticket(self, ticket_id: str) -> Json:
        if ticket_id not in self.tickets:
            raise ProblemAnswerError(404, "ticket_not_found")
        return self.tickets[ticket_id]

    def _open_order(self, order_id: str) -> Json:
        if self.orders[order_id]["status"] != "created":
            raise ProblemAnswerError(409, "order_not_open")
        return self.orders[order_id]

    def _close(self, order: Json, status: str) -> None:
        if order["status"] != "created":
            return
        order["status"] = status
        for item in order["items"]:
            ticket = self.tickets[item["ticket_id"]]
            ticket["held"] -= item["quantity"]
            if status == "completed":
                ticket["sold"] += item["quantity"]

    def _shown(self, ticket: Json) -> Json:
        available = max(ticket["quantity"] - ticket["held"] - ticket["sold"], 0)
        return {**ticket, "version": 1, "available": available, "status": "open" if available else "sold_out"}


def _page(request: web.Request, entries: list[Json]) -> web.Response:
    begin = int(request.query.get("cursor", "0"))
    end = begin + min(int(request.query["limit"]), PAGE)
    more = str(end) if end < len(entries) else None
    return web.json_response({"items": entries[begin:end], "next_cursor": more})
