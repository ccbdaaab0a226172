"""Who may do what: every route with everybody. A route that is not decided in `tests/doors/matrix.py` fails."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest

from adapters.ticket_codes import TicketCode
from api.ids import new_id
from api.route import Access, Route
from api.routes import ROUTES
from domain.aggregate import Cause
from domain.marketplace import Ask
from tests.api.house import EVENT, PASSWORD, Answer, House, Person
from tests.doors.matrix import MATRIX, MEANING, ROLES

ANONYMOUS, OWNER, OTHER, SELLER, ADMIN = "anonymous", "owner", "other", "seller", "admin"


@dataclass
class Scene:
    """A house with a listing, an open order of it, and everybody."""

    house: House
    people: dict[str, Person]
    ticket: Any
    order: Any


def code_of(scene: Scene, order_id: UUID) -> str:
    """What the house signs for the first ticket of an order."""
    return scene.house.services.ticket_codes.sign(TicketCode(order_id, UUID(scene.ticket["id"]), 1))


def body_of(route: Route, scene: Scene) -> Any:
    """A good body for each route that takes one."""
    email = f"{uuid4().hex}@example.org"
    bodies: dict[str, Any] = {
        "signing_in.sign_up": {"email": email, "password": PASSWORD, "name": "x"},
        "signing_in.sign_in": {"email": scene.people[OWNER].email, "password": PASSWORD},
        "signing_in.refresh": {"refresh_token": scene.people[OTHER].refresh_token},
        "users.change": {"name": "x"},
        "verification.confirm": {"token": "x"},
        "password_reset.ask": {"email": email},
        "password_reset.confirm": {"token": "x", "password": PASSWORD},
        "tickets.offer": {"title": "x", "event": EVENT, "price": {"amount": 1, "currency": "EUR"}, "quantity": 1},
        "tickets.edit": {"title": "x"},
        "collection.add": {"ticket_id": scene.ticket["id"]},
        "orders.place": {"items": [{"ticket_id": scene.ticket["id"], "quantity": 1}]},
        "refunds.refund": {},
        "check_ins.check_in": {"code": code_of(scene, UUID(scene.order["id"]))},
        "payments.pay": {"order_id": scene.order["id"], "payment_method": "pm_card_visa"},
    }
    return bodies[route.name] if route.body is not None else None


async def scene_of(house: House) -> Scene:
    """The owner of an order is its buyer; the owner of a listing its seller: who that is hangs on the route."""
    people = {name: await house.person(name) for name in (OWNER, OTHER, SELLER, ADMIN)}
    ask: Ask[Any, None] = Ask(Cause(None, new_id(), new_id()), lambda _: None)
    await house.services.marketplace.appoint(UUID(people[ADMIN].id), True, ask)
    signed_in = await house.call("POST", "/users/signin", {"email": people[ADMIN].email, "password": PASSWORD})
    people[ADMIN].token = signed_in.body["access_token"]
    ticket = await house.listing(people[SELLER], refund_until=EVENT["starts_at"])
    order = (await house.order(people[OWNER], ticket["id"])).body
    return Scene(house, people, ticket, order)


async def ask(scene: Scene, route: Route, who: str) -> Answer:
    path = route.path.format(
        ticket_id=scene.ticket["id"],
        order_id=scene.order["id"],
        user_id=scene.people[SELLER].id,
        asset="start.js",
    )
    if route.name.startswith("live."):
        ids = f"&ids={scene.ticket['id']}" if route.name == "live.of_many" else ""
        path += f"?seconds=0{ids}"
    token = None if who == ANONYMOUS else scene.people[who].token
    raw = b"{}" if route.takes_raw_body else None
    return await scene.house.call(route.method, f"/{path}", body_of(route, scene), token=token, raw=raw)


def owner_of(route: Route) -> str:
    """A listing is its seller's, everything else the buyer's."""
    return SELLER if "/tickets/{ticket_id}" in route.path else OWNER


def parties_of(route: Route) -> set[str]:
    if route.access is Access.PARTIES:
        return {OWNER, SELLER, ADMIN}
    if route.access is Access.SELLERS:
        return {SELLER, ADMIN}
    return {owner_of(route), ADMIN} if route.admin_reads else {owner_of(route)}


def expected(route: Route, who: str) -> set[tuple[int, str | None]]:
    """What the table says: status and code, None for a success."""
    done: set[tuple[int, str | None]] = {(status, None) for status in route.answers}
    if route.access is Access.STRIPE:
        return {(400, "bad_signature")}
    if route.access in (Access.ANYONE, Access.OPTIONAL):
        return done
    if who == ANONYMOUS:
        return {(401, "unauthenticated")}
    if route.access is Access.SIGNED_IN or who in parties_of(route):
        return done
    return {(403, "not_owner")} if route.access is Access.OWNER else {(404, "order_not_found")}


# What the rules of the domain say to somebody who may use the route.
RULES = {("orders.place", SELLER): (403, "own_ticket")} | {
    (name, who): (400, "bad_link")  # whoever asks, it is the link that counts
    for name in ("verification.confirm", "password_reset.confirm")
    for who in (ANONYMOUS, OWNER, OTHER, SELLER, ADMIN)
}


def decided(route: Route, who: str) -> set[tuple[int, str | None]]:
    """What the matrix says, in the form of `expected`."""
    meaning = MEANING[MATRIX[route.method, route.path][ROLES.index(who)]]
    return {(status, None) for status in route.answers} if meaning is None else {meaning}


def test_every_route_is_decided_and_nothing_else() -> None:
    assert set(MATRIX) == {(route.method, route.path) for route in ROUTES}, "tests/doors/matrix.py: add the route"
    assert all(len(letters) == len(ROLES) and set(letters) <= set(MEANING) for letters in MATRIX.values())


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_the_matrix_is_what_the_route_table_says(route: Route) -> None:
    """Two hands wrote them: what somebody changes in one is noticed by the other."""
    for who in ROLES:
        said = {RULES[route.name, who]} if (route.name, who) in RULES else expected(route, who)
        assert decided(route, who) == said, who


@pytest.mark.parametrize("who", ROLES)
async def test_every_route_with_everybody(house: House, who: str) -> None:
    """Each on the same scene, as long as nothing has changed it: what changes it gets a new one."""
    scene = await scene_of(house)
    for route in ROUTES:
        changed = route.method != "GET" and owner_of(route) == SELLER
        if changed:
            # Nobody may be paying for a listing that is edited.
            await scene.house.call("DELETE", f"/orders/{scene.order['id']}", token=scene.people[OWNER].token)
        paid = route.name in ("refunds.refund", "check_ins.check_in")
        if paid:
            await scene.house.pay(scene.people[OWNER], scene.order["id"])
        answer = await ask(scene, route, who)
        seen = (answer.status, answer.code if answer.status >= 400 else None)
        allowed = decided(route, who)
        assert seen in allowed, f"{route.method} {route.path} as {who}: {seen}, not {allowed}"
        if changed or paid or (route.method != "GET" and answer.status < 400):
            scene = await scene_of(house)


@pytest.mark.parametrize("token", ["rubbish", ""])
async def test_a_bad_token_is_worth_as_little_as_none(house: House, token: str) -> None:
    scene = await scene_of(house)
    scene.people["impostor"] = Person("", "", token, "")
    for route in ROUTES:
        if route.access.needs_token:
            answer = await ask(scene, route, "impostor")
            assert (answer.status, answer.code) == (401, "unauthenticated"), route.path
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")


async def test_an_administrator_reads_but_does_not_act_for_others(house: House) -> None:
    scene = await scene_of(house)
    admin = scene.people[ADMIN]
    for path in (f"/orders/{scene.order['id']}", f"/orders/{scene.order['id']}/history"):
        assert (await house.call("GET", path, token=admin.token)).status == 200
    assert (await house.pay(admin, scene.order["id"])).status == 404
    assert (
        await house.call("PATCH", f"/tickets/{scene.ticket['id']}", {"title": "x"}, token=admin.token)
    ).status == 403
    assert (await house.call("GET", "/orders", token=admin.token)).body["items"] == []
