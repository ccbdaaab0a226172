"""Mass assignment: nobody sets what a body does not take. The names come from what is stored and answered."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import psycopg
import pytest

from api import bodies, models
from api.problems import Refused
from api.routes import ROUTES
from domain import records
from domain.listing import EventDetails, Listing
from domain.money import Money
from domain.order import Charge, Item, Order
from domain.ticket import Ticket
from domain.user import User
from tests.api.house import House
from tests.input.shapes import GOOD, MODELS, at, changed, objects
from tests.input.test_input_walk import path_of

STORED = (Ticket, Order, User, Listing, EventDetails, Money, Item, Charge, records.Account, records.Session)
COMMON = {
    "admin",
    "is_admin",
    "role",
    "roles",
    "email_verified",
    "balance",
    "__proto__",
    "constructor",
    "_id",
    "Title",
    "",
}
"""Names other houses fell for."""


def names() -> set[str]:
    """Every field of what is stored or answered."""
    stored = {field.name for kind in STORED for field in dataclasses.fields(kind)}
    views = [view for view in vars(models).values() if isinstance(view, type) and issubclass(view, models.View)]
    answered = {field.encode_name for view in views for field in msgspec.structs.fields(view)}
    return stored | answered | COMMON


def columns(database_url: str) -> set[str]:
    """Every column of every table."""
    with psycopg.connect(database_url) as connection:
        rows = connection.execute("SELECT column_name FROM information_schema.columns WHERE table_schema = 'public'")
        return {name for (name,) in rows}


def test_no_object_takes_a_name_of_what_is_stored(database_url: str) -> None:
    every_name = names() | columns(database_url)
    assert {"seller_id", "held", "sold", "version", "status", "password_hash", "created_at", "admin"} <= every_name
    for model in MODELS:
        for place, taken in objects(model):
            for name in sorted(every_name - taken):
                value = at(GOOD[model.__name__], place) | {name: None}
                assert refusal(model, changed(model, place, value) if place else value) == ["unknown"], (place, name)


def refusal(model: Any, body: object) -> list[str]:
    """What a body is refused for."""
    with pytest.raises(Refused) as caught:
        bodies.decode(model, msgspec.json.encode(body))
    return [error.message for error in caught.value.errors]


async def test_no_route_takes_one_and_nothing_comes_of_it(house: House) -> None:
    person = await house.person()
    ticket = await house.listing(person)
    before = await house.call("GET", f"/tickets/{ticket['id']}")
    end = (await house.services.log.after(0, limit=100))[-1].position
    for route in ROUTES:
        if route.body is not None:
            good = GOOD[route.body.__name__]
            for name in sorted(names() - set(good)):
                path = path_of(route, ticket["id"])
                answer = await house.call(route.method, path, good | {name: True}, token=person.token)
                assert (answer.status, answer.code) == (422, "validation_failed"), (route.name, name)
    assert (await house.services.log.after(0, limit=100))[-1].position == end
    assert (await house.call("GET", f"/tickets/{ticket['id']}")).raw == before.raw


async def test_no_query_takes_one(house: House) -> None:
    person = await house.person()
    for route in ROUTES:
        if route.query is not None:
            taken = {field.encode_name for field in msgspec.structs.fields(route.query)}
            for name in sorted(names() - taken - {""}):
                answer = await house.call("GET", f"{path_of(route)}?{name}=1", token=person.token)
                assert (answer.status, answer.fields) == (422, [name]), (route.name, name)
