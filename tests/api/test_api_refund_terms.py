"""A seller's terms of refund on a listing: taken in, shown, kept in the read model, bounded."""

from __future__ import annotations

from importlib.resources import files
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg import AsyncConnection

from projections.rows import SELECT_TICKETS, ticket_row
from tests.api.house import EVENT, House
from tests.conftest import with_database

SCHEMA = files("projections.schema")

TERMS = {"refund_until": "2030-07-01T00:00:00Z", "refund_fee": 250, "resell_returned": False}
NONE = {"refund_until": None, "refund_fee": 0, "resell_returned": True}


def terms_of(ticket: dict[str, Any]) -> dict[str, Any]:
    return {name: ticket[name] for name in TERMS}


async def test_they_come_back_from_the_log_and_from_the_read_model(house: House) -> None:
    seller = await house.person()
    plain, ticket = await house.listing(seller), await house.listing(seller, **TERMS)
    assert (terms_of(plain), terms_of(ticket)) == (NONE, TERMS)
    await house.project()
    assert await house.services.queries.ticket(UUID(ticket["id"])) is not None
    assert terms_of((await house.call("GET", f"/tickets/{ticket['id']}")).body) == TERMS
    listed = (await house.call("GET", f"/users/{seller.id}/tickets")).body["items"]
    assert [terms_of(one) for one in listed] == [TERMS, NONE]


async def test_an_offset_is_answered_in_utc(house: House) -> None:
    ticket = await house.listing(await house.person(), refund_until="2030-07-01T02:00:00+02:00")
    assert ticket["refund_until"] == "2030-07-01T00:00:00Z"


async def test_they_are_edited_and_the_past_keeps_its_own(house: House) -> None:
    seller = await house.person()
    ticket = await house.listing(seller, **TERMS)
    path = f"/tickets/{ticket['id']}"
    edited = await house.call("PATCH", path, NONE, token=seller.token)
    assert (edited.status, terms_of(edited.body)) == (200, NONE)
    part = await house.call("PATCH", path, {"refund_until": "2030-07-02T00:00:00+02:00"}, token=seller.token)
    assert terms_of(part.body) == NONE | {"refund_until": "2030-07-01T22:00:00Z"}
    past = await house.call("GET", f"{path}?as_of={ticket['updated_at']}")
    assert terms_of(past.body) == TERMS


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"refund_until": "2030-07-14T19:00:00"}, "refund_until"),
        ({"refund_until": "3000-01-01T00:00:00Z"}, "refund_until"),
        ({"refund_until": 1}, "refund_until"),
        ({"refund_fee": -1}, "refund_fee"),
        ({"refund_fee": 2501}, "refund_fee"),
        ({"refund_fee": 1.5}, "refund_fee"),
        ({"refund_fee": None}, "refund_fee"),
        ({"price": {"amount": 25_000, "currency": "KWD"}, "refund_fee": 5}, "refund_fee"),
        ({"resell_returned": 1}, "resell_returned"),
        ({"resell_returned": None}, "resell_returned"),
    ],
)
async def test_bad_terms_name_the_field(house: House, change: dict[str, Any], field: str) -> None:
    seller = await house.person()
    body = {"title": "x", "event": EVENT, "price": {"amount": 2500, "currency": "EUR"}, "quantity": 1} | change
    offered = await house.call("POST", "/tickets", body, token=seller.token)
    assert (offered.status, offered.code, offered.fields) == (422, "validation_failed", [field])
    ticket = await house.listing(seller)
    edited = await house.call("PATCH", f"/tickets/{ticket['id']}", change, token=seller.token)
    assert (edited.status, edited.fields) == (422, [field])


async def test_a_price_does_not_fall_below_the_fee(house: House) -> None:
    seller = await house.person()
    ticket = await house.listing(seller, **TERMS)
    path, cheap = f"/tickets/{ticket['id']}", {"price": {"amount": 249, "currency": "EUR"}}
    refused = await house.call("PATCH", path, cheap, token=seller.token)
    assert (refused.status, refused.fields) == (422, ["refund_fee"])
    both = await house.call("PATCH", path, cheap | {"refund_fee": 249}, token=seller.token)
    assert (both.status, both.body["refund_fee"]) == (200, 249)


async def test_rows_from_before_there_were_terms_have_none(server_url: str) -> None:
    """The migration gives an existing database what its events say."""
    name = f"t{uuid4().hex}"
    async with await AsyncConnection.connect(server_url, autocommit=True) as connection:
        await connection.execute(f"CREATE DATABASE {name}".encode())
    url = with_database(server_url, name)
    async with await AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(SCHEMA.joinpath("0001_read_models.sql").read_bytes())
        await connection.execute(
            "INSERT INTO ticket_listing (id, version, seller_id, title, event_name, starts_at, venue, amount, currency,"
            " quantity, available, held, sold, withdrawn, created_at, updated_at, title_key, terms)"
            " VALUES (gen_random_uuid(), 1, gen_random_uuid(), 'x', 'x', now(), 'x', 1, 'EUR', 1, 1, 0, 0, false,"
            " now(), now(), 'x', 'x')"
        )
        await connection.execute(SCHEMA.joinpath("0003_refund_terms.sql").read_bytes())
        row = await (await connection.execute(SELECT_TICKETS)).fetchone()
    assert row is not None
    listing = ticket_row(row).listing
    assert (listing.refund_until, listing.refund_fee, listing.resell_returned) == (None, 0, True)
    async with await AsyncConnection.connect(server_url, autocommit=True) as connection:
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
