"""The OpenAPI document: valid, whole, and true of what is answered."""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any, get_type_hints

import msgspec
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from api.openapi import document
from api.problems import PROBLEMS
from api.route import Route
from api.routes import ROUTES
from tests.api.house import EVENT, Answer, House


@cache
def spec() -> dict[str, Any]:
    decoded: dict[str, Any] = msgspec.json.decode(document(ROUTES))
    return decoded


def test_it_is_a_valid_openapi_3_1_document() -> None:
    validate(spec())
    assert spec()["openapi"].startswith("3.1")


def test_every_route_is_in_it_and_nothing_else() -> None:
    described = {(method.upper(), path) for path, methods in spec()["paths"].items() for method in methods}
    assert described == {(route.method, route.path) for route in ROUTES}


def test_every_operation_has_an_id_of_its_own() -> None:
    ids = [operation["operationId"] for methods in spec()["paths"].values() for operation in methods.values()]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_the_handler_takes_what_the_table_says(route: Route) -> None:
    """The model of the table is the one the handler is written for."""
    hints = get_type_hints(route.handler)
    parameters = list(inspect.signature(route.handler).parameters)[1:]
    assert [hints[name] for name in parameters] == [model for model in (route.body, route.query) if model is not None]
    assert set(route.all_problems()) <= set(PROBLEMS)


def matches(answer: Answer, method: str, path: str) -> bool:
    """Whether the answer is one that the document promises."""
    operation = spec()["paths"][path][method.lower()]
    response = operation["responses"][str(answer.status)]
    always = response["headers"].keys() - {"Retry-After", "Idempotent-Replayed"}
    assert all(name in answer.headers for name in always)
    if "content" not in response:
        return answer.raw == b""
    media, described = next(iter(response["content"].items()))
    assert answer.headers["Content-Type"].partition(";")[0] == media
    schema = described["schema"] | {"components": spec()["components"]}
    return bool(Draft202012Validator(schema).is_valid(answer.body))


async def answers(house: House) -> list[tuple[Answer, str, str]]:
    """A walk through the house: each answer, with the route it is of."""
    seller, buyer, ticket, order = await house.ordered()
    one, its_history = f"/tickets/{ticket['id']}", f"/orders/{order['id']}/history"
    new = {"title": "x", "event": EVENT, "price": {"amount": 1, "currency": "EUR"}, "quantity": 1}
    seen = [
        (await house.call("POST", "/tickets", new, token=seller.token), "POST", "/api/tickets"),
        (await house.call("POST", "/tickets", {}, token=seller.token), "POST", "/api/tickets"),
        (await house.call("POST", "/tickets", new), "POST", "/api/tickets"),
        (await house.call("GET", one), "GET", "/api/tickets/{ticket_id}"),
        (await house.call("GET", f"{one}?as_of=x"), "GET", "/api/tickets/{ticket_id}"),
        (await house.call("PATCH", one, {"title": "y"}, token=seller.token), "PATCH", "/api/tickets/{ticket_id}"),
        (await house.call("PATCH", one, {"title": "y"}, token=buyer.token), "PATCH", "/api/tickets/{ticket_id}"),
        (await house.pay(buyer, order["id"], "pm_card_chargeDeclined"), "POST", "/api/payments"),
        (await house.pay(buyer, order["id"]), "POST", "/api/payments"),
        (await house.pay(buyer, order["id"]), "POST", "/api/payments"),
        (await house.order(seller, ticket["id"]), "POST", "/api/orders"),
        (await house.order(buyer, ticket["id"], 9), "POST", "/api/orders"),
        (await house.order(buyer, ticket["id"], 1), "POST", "/api/orders"),
        (await house.call("GET", f"/orders/{order['id']}", token=buyer.token), "GET", "/api/orders/{order_id}"),
        (await house.call("GET", its_history, token=buyer.token), "GET", "/api/orders/{order_id}/history"),
        (await house.call("GET", "/users/currentuser", token=buyer.token), "GET", "/api/users/currentuser"),
        (await house.call("GET", "/users/currentuser"), "GET", "/api/users/currentuser"),
        (await house.call("POST", "/users/signin", {"email": "x", "password": "x"}), "POST", "/api/users/signin"),
        (await house.call("POST", "/webhooks/stripe", {}), "POST", "/api/webhooks/stripe"),
        (await house.call("GET", "//readyz"), "GET", "/readyz"),
        (await house.call("GET", "//.well-known/jwks.json"), "GET", "/.well-known/jwks.json"),
    ]
    await house.project()
    lists = ("/tickets", "/orders", "/collection")
    seen += [(await house.call("GET", path, token=buyer.token), "GET", f"/api{path}") for path in lists]
    return seen


async def test_what_is_answered_is_what_the_document_says(house: House) -> None:
    for answer, method, path in await answers(house):
        assert matches(answer, method, path), (method, path, answer.status, answer.raw[:500])


async def test_the_served_document_is_this_one(house: House) -> None:
    answer = await house.call("GET", "//openapi.json")
    assert (answer.status, answer.body) == (200, spec())
    assert answer.headers["Content-Type"] == "application/json"


def test_the_document_tells_what_the_bounds_are() -> None:
    schemas = spec()["components"]["schemas"]
    assert schemas["Price"]["properties"]["amount"]["maximum"] == 99_999_999
    assert schemas["NewOrder"]["properties"]["items"]["maxItems"] == 20
    assert schemas["NewTicket"]["additionalProperties"] is False
    parameters = {one["name"]: one for one in spec()["paths"]["/api/tickets"]["get"]["parameters"]}
    assert set(parameters) >= {"q", "from", "to", "min_price", "seller", "available", "sort", "limit", "cursor"}
    assert parameters["limit"]["schema"] == {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}
