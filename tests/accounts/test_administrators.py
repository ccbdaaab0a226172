"""Administrators are made by `stagedoor admin` and by nothing else: no request can make one."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any
from uuid import UUID

from api.routes import ROUTES
from domain.user import User
from tests.api.house import EVENT, PASSWORD, House

ROOT = Path(__file__).parents[2]
ROOMS = ("domain", "projections", "streams", "api", "adapters", "cli", "sandbox")
FIELDS = ("admin", "adm", "is_admin", "isAdmin", "role", "roles", "erased", "user_id", "email_verified")
ID = "11111111-1111-4111-8111-111111111111"
BODIES: dict[str, Any] = {
    "refunds.refund": {},
    "check_ins.check_in": {"code": "x"},
    "signing_in.sign_up": {"email": "new@example.org", "password": PASSWORD, "name": "x"},
    "signing_in.sign_in": {"email": "new@example.org", "password": PASSWORD},
    "signing_in.refresh": {"refresh_token": "x"},
    "users.change": {"name": "x"},
    "verification.confirm": {"token": "x"},
    "password_reset.ask": {"email": "new@example.org"},
    "password_reset.confirm": {"token": "x", "password": PASSWORD},
    "tickets.offer": {"title": "x", "event": EVENT, "price": {"amount": 1, "currency": "EUR"}, "quantity": 1},
    "tickets.edit": {"title": "x"},
    "collection.add": {"ticket_id": ID},
    "orders.place": {"items": [{"ticket_id": ID, "quantity": 1}]},
    "payments.pay": {"order_id": ID},
}


async def test_no_body_may_say_that_somebody_is_one(house: House) -> None:
    """A route that is not tried here fails."""
    ann = await house.person("ann")
    for route in ROUTES:
        path = route.path.format(ticket_id=ID, order_id=ID, user_id=ID, asset="x")
        for field in FIELDS if route.body is not None else ():
            body = BODIES[route.name] | {field: True}
            answer = await house.call(route.method, f"/{path}", body, token=ann.token)
            assert (answer.status, answer.fields) == (422, [field]), route.name
    await nobody_is_one(house, ann.id)


async def test_no_header_and_no_query_says_so_either(house: House) -> None:
    ann = await house.person("ann")
    headers = {"X-Admin": "true", "X-Role": "admin", "X-User-Id": ann.id}
    for route in ROUTES:
        if route.method == "GET":
            path = route.path.format(ticket_id=ID, order_id=ID, user_id=ann.id, asset="x")
            await house.call("GET", f"/{path}?admin=true", token=ann.token, headers=headers)
    pair = await house.call("POST", "/users/refresh", {"refresh_token": ann.refresh_token}, headers=headers)
    assert pair.status == 200
    principal = await house.services.tokens.principal(pair.body["access_token"])
    assert not principal.is_admin
    await nobody_is_one(house, ann.id)


async def nobody_is_one(house: House, user_id: str) -> None:
    user = await house.services.log.aggregate(User, UUID(user_id))
    assert user is not None
    assert not user.admin


def test_only_the_command_appoints() -> None:
    """The one line that makes an administrator is in `cli/admin.py`."""
    found = set()
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Attribute) and node.attr == "appoint":
                    found.add(str(path.relative_to(ROOT)))
    assert found == {"cli/admin.py", "domain/marketplace.py"}
