"""Mailboxes are bounded: for each aggregate, so that one hot listing stops nobody else, and for the whole process.

And who takes from them waits, a moment, where that spares more than it costs.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from time import monotonic
from uuid import UUID, uuid4

import pytest

from domain import mailbox
from domain.errors import Busy
from domain.mailbox import Mailboxes
from tests.api.conftest import house, open_house, sandbox_url
from tests.api.house import House

__all__ = ["house", "open_house", "sandbox_url"]

HOT, OTHER, THIRD = (UUID(int=number) for number in range(3))


@dataclass
class Message:
    addressees: tuple[UUID, ...]


def test_one_aggregate_takes_its_share_and_no_more() -> None:
    mailboxes: Mailboxes[Message] = Mailboxes(per_aggregate=2, total=100)
    for _ in range(2):
        mailboxes.put(Message((HOT,)))
    for addressees in ((HOT,), (OTHER, HOT)):
        with pytest.raises(Busy):
            mailboxes.put(Message(addressees))
    mailboxes.put(Message((OTHER,)))
    mailboxes.put(Message((OTHER, THIRD)))
    assert len(mailboxes.take(1)) == 1
    mailboxes.put(Message((HOT, THIRD)))


def test_all_together_take_no_more_than_the_process_bears() -> None:
    mailboxes: Mailboxes[Message] = Mailboxes(per_aggregate=2, total=3)
    for addressee in (HOT, OTHER, THIRD):
        mailboxes.put(Message((addressee,)))
    with pytest.raises(Busy):
        mailboxes.put(Message((UUID(int=9),)))
    mailboxes.take(3)
    mailboxes.put(Message((UUID(int=9),)))


async def test_a_full_mailbox_says_when_to_come_again(house: House) -> None:
    seller, buyer = await house.person(), await house.person()
    listed = await house.listing(seller)
    house.services.actors._mailboxes._per_aggregate = 0
    answer = await house.order(buyer, listed["id"])
    assert (answer.status, answer.code, answer.headers["Retry-After"]) == (503, "busy", "1")


async def _seconds_to_take(mailboxes: Mailboxes[Message], count: int) -> float:
    for _ in range(count):
        mailboxes.put(Message((uuid4(),)))
    began = monotonic()
    assert len(await mailboxes.wait_and_take(lambda waiting: waiting)) == count
    return monotonic() - began


async def test_a_batch_of_few_waits_for_more_where_several_want_something(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailbox, "BATCH_SECONDS", 0.2)
    mailboxes: Mailboxes[Message] = Mailboxes()
    assert await _seconds_to_take(mailboxes, 1) < 0.1  # the first one
    assert await _seconds_to_take(mailboxes, 3) < 0.1  # the last one was alone
    assert await _seconds_to_take(mailboxes, mailbox.ENOUGH) < 0.1
    assert 0.1 < await _seconds_to_take(mailboxes, 1) < 0.4
    assert await _seconds_to_take(mailboxes, 1) < 0.1


async def test_enough_that_come_meanwhile_end_the_wait_and_so_does_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailbox, "BATCH_SECONDS", 60.0)
    mailboxes: Mailboxes[Message] = Mailboxes()
    await _seconds_to_take(mailboxes, 2)
    mailboxes.put(Message((uuid4(),)))
    taking = asyncio.ensure_future(mailboxes.wait_and_take(lambda waiting: waiting))
    await asyncio.sleep(0.05)
    assert not taking.done()
    for _ in range(mailbox.ENOUGH - 1):
        mailboxes.put(Message((uuid4(),)))
    assert len(await asyncio.wait_for(taking, 5)) == mailbox.ENOUGH
    mailboxes.put(Message((uuid4(),)))
    taking = asyncio.ensure_future(mailboxes.wait_and_take(lambda waiting: waiting))
    await asyncio.sleep(0.05)
    mailboxes.close()
    assert len(await asyncio.wait_for(taking, 5)) == 1
