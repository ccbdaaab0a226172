"""The REST API as a client without our code sees it: the standard library, JSON, nothing else."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any


class Client:
    """Calls one server, as somebody or as nobody."""

    def __init__(self, base: str, token: str | None = None) -> None:
        self.base = base
        self.token = token

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and decoded body of the answer; an error answer does not raise."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data=data, method=method)
        if data is not None:
            request.add_header("Content-Type", "application/json")
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"null")

    def must(self, expected: int, method: str, path: str, body: Any = None) -> Any:
        """The body of an answer that has the expected status."""
        status, answer = self.call(method, path, body)
        assert status == expected, f"{method} {path}: {status} {answer}"
        return answer

    def sign_up(self, name: str) -> Client:
        """A client that is a new person."""
        email = f"{name}-{uuid.uuid4().hex[:10]}@example.org"
        person = {"email": email, "password": "correct horse battery", "name": name}
        return Client(self.base, self.must(201, "POST", "/api/users/signup", person)["access_token"])

    def list_ticket(self, title: str, quantity: int, **more: Any) -> str:
        """Lists units of one ticket for 25.00 EUR; returns its id."""
        event = {
            "name": "Semi-final",
            "starts_at": (datetime.now(UTC) + timedelta(days=30)).isoformat(),
            "venue": "AT&T Stadium",
        }
        price = {"amount": 2500, "currency": "EUR"}
        body = {"title": title, "event": event, "price": price, "quantity": quantity, **more}
        return str(self.must(201, "POST", "/api/tickets", body)["id"])

    def order(self, ticket: str, quantity: int) -> str:
        """Orders units of a ticket; returns the order's id."""
        return str(
            self.must(201, "POST", "/api/orders", {"items": [{"ticket_id": ticket, "quantity": quantity}]})["id"]
        )

    def post_form(self, path: str, **fields: str) -> int:
        """Posts a form, as Stripe's API wants it; returns the status."""
        data = urllib.parse.urlencode(fields).encode()
        request = urllib.request.Request(self.base + path, data, {"Authorization": f"Bearer {self.token}"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)


def eventually(read: Callable[[], Any], good: Callable[[Any], bool], seconds: float = 30.0) -> Any:
    """Reads until good, and fails with what was read last when time is up."""
    end = time.monotonic() + seconds
    while not good(found := read()):
        assert time.monotonic() < end, f"still {found} after {seconds} s"
        time.sleep(0.1)
    return found
