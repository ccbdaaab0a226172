"""A plain HTTP client of an API process, and buyers who go on through every fault and remember what they were told."""

from __future__ import annotations

import http.client
import json
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from tests.e2e.up import Answer
from tests.streams.parts import rows

ANSWER_SECONDS = 30.0
"""Twice what a command is tried for, and half a minute is what a buyer's browser waits."""

FINISH_SECONDS = 40.0
"""For a buyer to hear of the request under way once the fault is healed."""

NO_ANSWER = (OSError, http.client.HTTPException)
"""The connection was refused or cut: whether anything was done is not known."""


class Client:
    """Of one API process, or of several behind one port."""

    def __init__(self, url: str) -> None:
        self.url = url

    def call(self, method: str, path: str, body: Any = None, token: str = "", key: str = "") -> Answer:
        """One request. Raises one of `NO_ANSWER`, never for a status."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method)
        if data is not None:
            request.add_header("Content-Type", "application/json")
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        if key:
            request.add_header("Idempotency-Key", key)
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:
                return _read(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as error:
            return _read(error.code, error.headers, error.read())

    def is_ready(self) -> bool:
        try:
            return self.call("GET", "/readyz").status == 200
        except NO_ANSWER:
            return False

    def sign_up(self, name: str = "somebody") -> str:
        """A new account's access token."""
        body = {"email": f"{name}-{uuid4().hex}@example.org", "password": "correct horse", "name": name}
        answer = self.call("POST", "/api/users/signup", body)
        assert answer.status == 201, answer
        token: str = answer.body["access_token"]
        return token

    def list_ticket(self, seller: str, **more: Any) -> str:
        body = {
            "title": "Semi-final, category 2",
            "event": {
                "name": "Semi-final",
                "starts_at": (datetime.now(UTC) + timedelta(days=30)).isoformat(),
                "venue": "AT&T Stadium",
            },
            "price": {"amount": 2500, "currency": "EUR"},
            "quantity": 5,
            **more,
        }
        answer = self.call("POST", "/api/tickets", body, seller)
        assert answer.status == 201, answer
        ticket_id: str = answer.body["id"]
        return ticket_id

    def order(self, buyer: str, ticket_id: str, quantity: int = 1, key: str = "") -> Answer:
        body = {"items": [{"ticket_id": ticket_id, "quantity": quantity}]}
        return self.call("POST", "/api/orders", body, buyer, key)

    def pay(self, buyer: str, order_id: str, key: str = "") -> Answer:
        return self.call("POST", "/api/payments", {"order_id": order_id, "payment_method": "pm_card_visa"}, buyer, key)


def _read(status: int, headers: Any, raw: bytes) -> Answer:
    return Answer(status, headers, json.loads(raw) if raw else None)


class Shoppers:
    """Buyers in threads. Each repeats a request under its key until it has an answer, whatever happens meanwhile."""

    def __init__(self, client: Client, people: int, *, paying: bool = True) -> None:
        self._client = client
        self._paying = paying
        self._end = threading.Event()
        self._give_up_at = float("inf")
        self.statuses: Counter[int] = Counter()
        """Of every answer."""
        self.unanswered = 0
        self.wrong: list[str] = []
        """Answers that nobody should ever get."""
        self.orders: set[UUID] = set()
        """Answered 201."""
        self.paid: set[UUID] = set()
        self.ticket_id = client.list_ticket(client.sign_up("seller"), quantity=100_000, hold_seconds=600)
        self._threads = [threading.Thread(target=self._shop, args=(client.sign_up(),)) for _ in range(people)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Lets every buyer hear of what is under way."""
        self._give_up_at = time.monotonic() + FINISH_SECONDS
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _shop(self, token: str) -> None:
        try:
            while not self._end.is_set():
                key = uuid4().hex
                placed = self._until_answered(lambda: self._client.order(token, self.ticket_id, 1, key))  # noqa: B023
                self.orders.add(UUID(placed.body["id"]))
                again = self._until_answered(lambda: self._client.order(token, self.ticket_id, 1, key))  # noqa: B023
                if again.body["id"] != placed.body["id"]:
                    self.wrong.append(f"one key, two orders: {placed.body['id']} and {again.body['id']}")
                if self._paying:
                    order_id, key = placed.body["id"], uuid4().hex
                    paid = self._until_answered(lambda: self._client.pay(token, order_id, key))  # noqa: B023
                    assert paid.body["status"] == "succeeded"
                    self.paid.add(UUID(order_id))
        except Exception as error:  # noqa: BLE001 - a thread has nobody to raise to
            self.wrong.append(f"{type(error).__name__}: {error}")

    def _until_answered(self, request: Any) -> Answer:
        """The 201; everything else is taken down, and the same request is sent again."""
        while True:
            try:
                answer: Answer = request()
            except NO_ANSWER:
                self.unanswered += 1
            else:
                self.statuses[answer.status] += 1
                if answer.status == 201:
                    return answer
                if answer.status != 503 or not answer.headers["Retry-After"]:
                    self.wrong.append(f"{answer.status} {answer.body}")
                    raise AssertionError("neither done nor asked to come again")
            assert time.monotonic() < self._give_up_at, "no answer, long after everything was healed"
            time.sleep(0.1)


@contextmanager
def shopping(client: Client, people: int = 4, *, paying: bool = True) -> Iterator[Shoppers]:
    """Buyers during the `with` block; after it, each has heard of all that was under way."""
    shoppers = Shoppers(client, people, paying=paying)
    try:
        yield shoppers
    finally:
        shoppers.stop()


def assert_kept(shoppers: Shoppers, database_url: str) -> None:
    """What was answered is in the log, once, and nothing else is."""
    assert shoppers.wrong == []
    assert shoppers.orders
    created = stored(database_url, "stagedoor.Order.Created", about=shoppers.ticket_id)
    assert len(created) == len(set(created))
    assert set(created) == shoppers.orders
    completed = stored(database_url, "stagedoor.Order.Completed")
    assert shoppers.paid <= set(completed)
    sold = rows(
        database_url,
        "SELECT count(*) FROM stored_events WHERE topic = 'stagedoor.Ticket.Sold' AND originator_id = %s",
        UUID(shoppers.ticket_id),
    )
    assert sold == [(len(shoppers.orders & set(completed)),)]


def stored(database_url: str, topic: str, *, about: str = "") -> list[UUID]:
    """The aggregates with such an event in the log, as often as they have it; of those that name `about`."""
    found = rows(
        database_url,
        "SELECT originator_id FROM stored_events WHERE topic = %s"
        " AND position(%s in convert_from(state, 'UTF8')) > 0 ORDER BY notification_id",
        topic,
        about,
    )
    return [row[0] for row in found]
