"""Behind the matrix of `tests/api/test_api_access.py`: a refusal changes nothing, and tells nothing of others."""

from __future__ import annotations

import statistics
import time
from uuid import UUID, uuid4

import pytest

from api.route import Access, Route
from api.routes import ROUTES
from tests.api.house import Answer, House
from tests.api.test_api_access import OTHER, OWNER, SELLER, Scene, ask, body_of, code_of, scene_of
from tests.api.test_api_webhooks import sign
from tests.doors.matrix import MATRIX, ROLES

TRIES = 40
"""Requests of each kind whose times are compared."""


def refused(route: Route, who: str) -> bool:
    return MATRIX[route.method, route.path][ROLES.index(who)] != "y"


async def test_who_is_refused_has_changed_nothing(house: House) -> None:
    """The events of listing and order are the same after everybody has tried everything that is not theirs."""
    scene = await scene_of(house)
    before = [await house.types(scene.ticket["id"]), await house.types(scene.order["id"])]
    for route in ROUTES:
        for who in ROLES:
            if refused(route, who):
                await ask(scene, route, who)
    assert [await house.types(scene.ticket["id"]), await house.types(scene.order["id"])] == before


async def test_a_head_is_guarded_like_its_get(house: House) -> None:
    scene = await scene_of(house)
    for route in ROUTES:
        if route.method == "GET" and route.access.needs_token:
            path = route.path.format(ticket_id=scene.ticket["id"], order_id=scene.order["id"])
            assert (await house.call("HEAD", f"/{path}")).status == 401, path


async def test_another_spelling_of_a_path_is_no_way_in(house: House) -> None:
    for path in ("/api/orders/", "//api/orders", "/API/orders", "/api/./orders", "/api/x/../orders", "/api%2Forders"):
        assert (await house.call("GET", f"/{path}")).status in (401, 404), path


async def test_stripe_needs_no_token_and_a_token_no_signature(house: House) -> None:
    raw = b'{"id": "evt_1", "type": "customer.created", "data": {"object": {}}}'
    by_stripe = await house.call("POST", "/webhooks/stripe", raw=raw, headers={"Stripe-Signature": sign(raw)})
    assert by_stripe.status == 200
    other_body = await house.call("POST", "/webhooks/stripe", raw=raw + b" ", headers={"Stripe-Signature": sign(raw)})
    assert other_body.code == "bad_signature"


async def test_the_seller_sees_the_sale_and_not_the_buyer(house: House) -> None:
    """What a listing's history tells its seller names orders and counts; the order itself stays the buyer's."""
    scene = await scene_of(house)
    seen = await house.call("GET", f"/tickets/{scene.ticket['id']}/history", token=scene.people[SELLER].token)
    assert seen.status == 200
    assert scene.people[OWNER].email.encode() not in seen.raw
    for path in (f"/orders/{scene.order['id']}", f"/orders/{scene.order['id']}/history"):
        assert (await house.call("GET", path, token=scene.people[SELLER].token)).code == "order_not_found"


def wording(answer: Answer, *own: str) -> tuple[object, ...]:
    """Everything an answer says but what tells one request from another and the ids that were asked for."""
    body = {name: value for name, value in answer.body.items() if name not in ("trace_id", "instance")}
    told = str(body)
    for value in own:
        told = told.replace(value, "<id>")
    headers = {name: value for name, value in answer.headers.items() if name.lower() not in ("x-request-id", "date")}
    return answer.status, told, headers


async def ask_for(scene: Scene, route: Route, order_id: str, query: str = "") -> Answer:
    path = route.path.format(order_id=order_id)
    body = body_of(route, scene)
    if body is not None and "order_id" in body:
        body["order_id"] = order_id
    if route.name == "check_ins.check_in":
        body = {"code": code_of(scene, UUID(order_id))}
    return await scene.house.call(route.method, f"/{path}{query}", body, token=scene.people[OTHER].token)


@pytest.mark.parametrize("projected", [False, True], ids=["from the log", "from the read model"])
async def test_what_others_have_is_answered_like_what_nobody_has(house: House, projected: bool) -> None:
    scene = await scene_of(house)
    if projected:
        await house.project()
    for route in ROUTES:
        if route.access in (Access.PARTY, Access.PARTIES, Access.SELLERS):
            nobodys_id = str(uuid4())
            theirs = wording(await ask_for(scene, route, scene.order["id"]), scene.order["id"])
            nobodys = wording(await ask_for(scene, route, nobodys_id), nobodys_id)
            assert theirs == nobodys, route.path
            assert theirs[0] == 404


@pytest.mark.parametrize("query", ["", "?min_version=1"])
async def test_and_takes_as_long(house: House, query: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wait for a version, or another query, for one of the two alone would tell them apart."""
    monkeypatch.setattr("api.reads.MIN_VERSION_SECONDS", 0.05)
    scene = await scene_of(house)
    await house.project()
    route = next(route for route in ROUTES if route.name == "orders.read")
    took: dict[str, list[float]] = {"theirs": [], "nobody's": []}
    for _ in range(5 if query else TRIES):
        for whose, order_id in (("theirs", scene.order["id"]), ("nobody's", str(uuid4()))):
            started = time.perf_counter()
            assert (await ask_for(scene, route, order_id, query)).status == 404
            took[whose].append(time.perf_counter() - started)
    theirs, nobodys = (statistics.median(times) for times in took.values())
    assert abs(theirs - nobodys) < max(0.002, nobodys / 2), took


async def test_a_collection_and_a_key_are_ones_own(house: House) -> None:
    """Dropping from one's own collection leaves others' alone; another's Idempotency-Key is an unused one."""
    scene = await scene_of(house)
    owner, other = scene.people[OWNER], scene.people[OTHER]
    one = {"ticket_id": scene.ticket["id"]}
    assert (await house.call("POST", "/collection", one, token=owner.token, key="k")).status == 201
    assert (await house.call("DELETE", f"/collection/{one['ticket_id']}", token=other.token)).status == 204
    assert len((await house.call("GET", "/collection", token=owner.token)).body["items"]) == 1
    theirs = await house.order(other, scene.ticket["id"], 2, key="k")
    assert (theirs.status, theirs.body["buyer_id"]) == (201, other.id)


async def test_another_persons_cursor_shows_ones_own_things(house: House) -> None:
    scene = await scene_of(house)
    owner, other = scene.people[OWNER], scene.people[OTHER]
    for buyer in (owner, owner, other):
        assert (await house.order(buyer, scene.ticket["id"])).status == 201
    await house.project()
    cursor = (await house.call("GET", "/orders?limit=1", token=owner.token)).body["next_cursor"]
    page = (await house.call("GET", f"/orders?cursor={cursor}", token=other.token)).body["items"]
    assert all(order["buyer_id"] == other.id for order in page)
