"""Mailboxes are bounded: for each aggregate, so that one hot listing stops nobody else, and for the whole process."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import pytest

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
