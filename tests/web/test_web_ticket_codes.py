"""The codes of tickets: whoever has the public key can tell them from made-up ones, without asking anybody."""

from __future__ import annotations

import base64
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from adapters.house_key import HouseKey
from adapters.ticket_codes import NotATicket, TicketCode, TicketCodes, verified
from tests.api.house import House
from tests.api.test_api_access import ADMIN, OWNER, scene_of

CODES = TicketCodes(HouseKey(bytes(32)))
TICKET = TicketCode(uuid4(), uuid4(), 3)


def test_what_was_signed_is_verified() -> None:
    code = CODES.sign(TICKET)
    assert verified(code, CODES.public) == TICKET
    assert len(code) <= 178, "a QR code of version 7 holds as many such characters at level M"
    assert set(code) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567.1D")


@pytest.mark.parametrize("place", range(0, 160, 7))
def test_whatever_is_changed_is_noticed(place: int) -> None:
    code = CODES.sign(TICKET)
    changed = code[:place] + ("B" if code[place] != "B" else "C") + code[place + 1 :]
    with pytest.raises(NotATicket):
        verified(changed, CODES.public)


@pytest.mark.parametrize("code", ["", "SD1", "SD1..", "SD1.A.A", "x" * 200, "é", "SD1.AAAA.AAAA.AAAA"])
def test_rubbish(code: str) -> None:
    with pytest.raises(NotATicket):
        verified(code, CODES.public)


def test_what_else_the_house_may_sign_one_day_is_no_ticket() -> None:
    """A code of a later kind, signed with the same key."""
    signed = CODES.sign(TICKET).rpartition(".")[0].replace("SD1", "SD2")
    signature = base64.b32encode(CODES._key.sign(signed.encode())).decode().rstrip("=")
    with pytest.raises(NotATicket):
        verified(f"{signed}.{signature}", CODES.public)


def test_another_house_signs_otherwise() -> None:
    with pytest.raises(NotATicket):
        verified(TicketCodes(HouseKey(bytes([1]) * 32)).sign(TICKET), CODES.public)


def test_the_key_is_the_house_keys_for_ever() -> None:
    """Tickets that were printed stay good: this is what the first version derived."""
    assert CODES.jwks()["keys"][0]["x"] == "H62cZRe9ZEFkIlOQRoPXNAvlbPKY0_2T8ZtfFUNtpbo"


async def published(house: House) -> Ed25519PublicKey:
    (key,) = (await house.call("GET", "//.well-known/stagedoor-tickets.json")).body["keys"]
    assert (key["kty"], key["crv"], key["alg"]) == ("OKP", "Ed25519", "EdDSA")
    return Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(key["x"] + "="))


async def test_who_has_paid_gets_a_code_for_each_ticket(house: House) -> None:
    seller, buyer = await house.person(), await house.person()
    ticket = await house.listing(seller)
    order = (await house.order(buyer, ticket["id"], 2)).body
    path = f"/orders/{order['id']}/tickets"
    assert (await house.call("GET", path, token=buyer.token)).body == {"items": []}
    await house.pay(buyer, order["id"])
    items = (await house.call("GET", path, token=buyer.token)).body["items"]
    key = await published(house)
    assert [verified(item["code"], key) for item in items] == [
        TicketCode(UUID(order["id"]), UUID(ticket["id"]), number) for number in (1, 2)
    ]
    assert [(item["number"], item["of"], item["title"]) for item in items] == [
        (1, 2, "Category 2"),
        (2, 2, "Category 2"),
    ]


async def test_a_cancelled_order_has_no_tickets(house: House) -> None:
    _, buyer, _, order = await house.ordered()
    await house.call("DELETE", f"/orders/{order['id']}", token=buyer.token)
    assert (await house.call("GET", f"/orders/{order['id']}/tickets", token=buyer.token)).body == {"items": []}


async def test_codes_are_the_buyers_alone(house: House) -> None:
    seller, buyer, _, order = await house.ordered()
    await house.pay(buyer, order["id"])
    path = f"/orders/{order['id']}/tickets"
    assert (await house.call("GET", path, token=seller.token)).code == "order_not_found"
    assert (await house.call("GET", path)).status == 401


async def test_an_administrator_reads_the_order_and_gets_into_no_concert(house: House) -> None:
    scene = await scene_of(house)
    await house.pay(scene.people[OWNER], scene.order["id"])
    path = f"/orders/{scene.order['id']}/tickets"
    assert len((await house.call("GET", path, token=scene.people[OWNER].token)).body["items"]) == 1
    assert (await house.call("GET", path, token=scene.people[ADMIN].token)).body == {"items": []}
