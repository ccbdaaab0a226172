"""Fault 2: the commit happens, its answer is lost. Nobody is told of a conflict or an error, and nothing is done twice.

The API reaches PostgreSQL over TCP, through a proxy that cuts the connection when the server says that it committed.
"""

from __future__ import annotations

import asyncio

import pytest
from click.testing import CliRunner

from cli.verify import verify
from tests.api.house import PASSWORD, House
from tests.faults.client import stored
from tests.faults.proxy import Proxy


@pytest.fixture
def house(house_behind_proxy: House) -> House:
    """Here it is the one whose way to the store goes wrong."""
    return house_behind_proxy


async def test_an_order_is_answered_and_there_once(house: House, proxy: Proxy, database_url: str) -> None:
    seller, buyer = await house.person(), await house.person()
    ticket = await house.listing(seller)
    proxy.lose = 1
    answer = await house.order(buyer, ticket["id"], 2)
    assert (proxy.lost, answer.status) == (1, 201)
    assert [str(order) for order in stored(database_url, "stagedoor.Order.Created")] == [answer.body["id"]]
    assert await house.types(ticket["id"]) == ["TicketCreated", "TicketReserved"]


async def test_whole_batches_are_answered_and_there_once(
    house: House, proxy: Proxy, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket = await house.listing(await house.person(), quantity=100)
    buyers = [await house.person() for _ in range(4)]
    told: list[str] = []
    for lost in range(1, 4):
        proxy.lose = 1
        answers = await asyncio.gather(*(house.order(buyer, ticket["id"]) for buyer in buyers * 5))
        assert proxy.lost == lost
        assert {answer.status for answer in answers} == {201}
        told += [answer.body["id"] for answer in answers]
    assert len(set(told)) == 60
    assert sorted(map(str, stored(database_url, "stagedoor.Order.Created"))) == sorted(told)
    monkeypatch.setattr("cli.verify.CATCH_UP_SECONDS", 0.0)  # there is no relay here to wait for
    verified = await asyncio.to_thread(CliRunner().invoke, verify, env={"DATABASE_URL": database_url})
    assert verified.exit_code == 0, verified.output


async def test_a_sign_up_is_not_told_that_its_own_address_is_taken(house: House, proxy: Proxy) -> None:
    proxy.lose = 1
    body = {"email": "ann@example.org", "password": PASSWORD, "name": "Ann"}
    answer = await house.call("POST", "/users/signup", body)
    assert (proxy.lost, answer.status) == (1, 201)
    signed_in = await house.call("POST", "/users/signin", {"email": body["email"], "password": PASSWORD})
    assert signed_in.status == 200


async def test_an_edit_is_not_told_that_somebody_else_was_faster(house: House, proxy: Proxy) -> None:
    seller = await house.person()
    ticket = await house.listing(seller)
    proxy.lose = 1
    answer = await house.call(
        "PATCH", f"/tickets/{ticket['id']}", {"title": "Category 3"}, token=seller.token, headers={"If-Match": '"1"'}
    )
    assert (proxy.lost, answer.status, answer.body["version"]) == (1, 200, 2)
    assert await house.types(ticket["id"]) == ["TicketCreated", "TicketUpdated"]


async def test_a_payment_is_charged_and_told_once(house: House, proxy: Proxy) -> None:
    _, buyer, _, order = await house.ordered()
    proxy.lose = 2  # of what is stored before the card is charged, and of what is stored after
    answer = await house.pay(buyer, order["id"], key="k")
    assert (proxy.lost, answer.status, answer.body["status"]) == (2, 201, "succeeded")
    assert (await house.pay(buyer, order["id"], key="k")).raw == answer.raw
    assert await house.charges() == 1
    types = ["OrderCreated", "OrderAwaitingPayment", "ChargeCreated", "OrderCompleted", "ChargeSettled"]
    assert await house.types(order["id"]) == types


async def test_a_refusal_that_was_stored_under_its_key_is_told(house: House, proxy: Proxy) -> None:
    """There is no event by which to find the batch in the log."""
    _, buyer, ticket, _ = await house.ordered(quantity=1)
    proxy.lose = 1
    answers = [await house.order(buyer, ticket["id"], key="k") for _ in range(2)]
    assert proxy.lost == 1
    assert {(answer.status, answer.code, answer.raw) for answer in answers} == {(409, "sold_out", answers[0].raw)}


async def test_with_the_store_away_for_longer_it_is_in_doubt_and_the_key_tells(
    house: House, proxy: Proxy, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("domain.actors.ANSWER_WITHIN_SECONDS", 0.5)
    ticket = await house.listing(await house.person())
    buyer = await house.person()
    proxy.lose, proxy.away_after_loss = 1, True
    doubtful = await house.order(buyer, ticket["id"], 2, key="k")
    assert (proxy.lost, doubtful.status, doubtful.code) == (1, 503, "unavailable")
    assert int(doubtful.headers["Retry-After"]) > 0
    proxy.away = False
    answers = [await house.order(buyer, ticket["id"], 2, key="k") for _ in range(2)]
    assert {(answer.status, answer.raw) for answer in answers} == {(201, answers[0].raw)}
    assert [str(order) for order in stored(database_url, "stagedoor.Order.Created")] == [answers[0].body["id"]]
    assert await house.types(ticket["id"]) == ["TicketCreated", "TicketReserved"]


async def test_a_store_that_falls_silent_in_the_middle_of_a_commit_is_left_and_asked_anew(
    house: House, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection stays open and nothing comes: a proxy that hangs, a server that was stopped."""
    monkeypatch.setattr("adapters.event_store.TRANSACTION_SECONDS", 1.0)
    ticket = await house.listing(await house.person())
    buyer = await house.person()
    proxy.lose, proxy.silent_after_loss = 1, True
    async with asyncio.timeout(5.0):
        answer = await house.order(buyer, ticket["id"], key="k")
    assert (proxy.lost, answer.status) == (1, 201)
    assert await house.types(ticket["id"]) == ["TicketCreated", "TicketReserved"]
