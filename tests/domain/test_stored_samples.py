"""Stored events are for ever: one stored sample of every version ever released must load, today and in every release.

A sample is never edited or deleted. A new event, or a new version of one, takes a new sample: run this file as a
program (`python -m tests.domain.test_stored_samples`) to write those that are missing.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

from adapters.cloudevents import decode, encode
from adapters.event_codec import EventMapper, decode_event
from domain.aggregate import Cause, Event, Stamp
from domain.check_in import check_in
from domain.money import Money
from domain.order import ChargeFailure, Item, Order, Settlement
from domain.order_disputes import DisputeWord, note_dispute
from domain.order_payouts import note_reversal, note_transfer, release
from domain.order_refunds import RefundMade, note_refund, note_refund_failure, refund
from domain.payouts import Dispute, Terms
from domain.published import DATA_CLASSES, STORED_EVENTS, publish
from domain.ticket import Ticket
from domain.user import PayoutAccount, User
from tests.domain.scenes import BUYER, DEADLINE, INTENT, NOON, SELLER, charge, listing

SAMPLES = Path(__file__).parents[1] / "stored_events"


def sample_name(event_class: type[Event]) -> str:
    return f"{event_class.TOPIC}.v{event_class.class_version}.json"


@pytest.mark.parametrize("event_class", STORED_EVENTS, ids=lambda event_class: event_class.TOPIC)
def test_every_event_has_a_stored_sample_of_its_present_version(event_class: type[Event]) -> None:
    assert (SAMPLES / sample_name(event_class)).is_file()


@pytest.mark.parametrize("sample", sorted(SAMPLES.glob("*.json")), ids=lambda path: path.stem)
def test_every_sample_loads_and_is_published(sample: Path) -> None:
    topic, _, version = sample.stem.rpartition(".v")
    event = decode_event(topic, sample.read_bytes())
    stored = EventMapper().to_stored_event(event)
    assert (stored.topic, stored.originator_id) == (topic, event.originator_id)
    if int(version) == type(event).class_version:
        assert msgspec.json.decode(stored.state) == msgspec.json.decode(sample.read_bytes())
    published = publish(event, 7)
    assert published.type in DATA_CLASSES
    assert decode(encode(published)) == published


def test_an_old_version_is_brought_up_to_the_present_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def upcast(state: dict[str, Any]) -> None:
        state["reason"] = state.pop("why")

    monkeypatch.setattr(Ticket.Released, "class_version", 2)
    monkeypatch.setattr(Ticket.Released, "upcast_v1_v2", staticmethod(upcast), raising=False)
    old = msgspec.json.decode((SAMPLES / "stagedoor.Ticket.Released.v1.json").read_bytes())
    old["why"] = old.pop("reason")
    event = decode_event("stagedoor.Ticket.Released", msgspec.json.encode(old))
    assert isinstance(event, Ticket.Released)
    assert event.reason == "cancelled"
    stored = EventMapper().to_stored_event(event)
    assert msgspec.json.decode(stored.state)["class_version"] == 2
    assert decode_event(stored.topic, stored.state) == event


def _examples() -> list[Event]:
    """One life of each aggregate that passes through every event."""
    cause = Cause(BUYER, UUID(int=10), UUID(int=11), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    stamp = Stamp(NOON, cause)
    ticket = Ticket.offer(UUID(int=100), SELLER, listing(hold_seconds=600), stamp)
    first, second = UUID(int=200), UUID(int=201)
    ticket.reserve(first, 2, DEADLINE, stamp, BUYER)
    ticket.release(first, "cancelled", stamp)
    ticket.reserve(second, 1, DEADLINE, stamp)
    ticket.sell(second, 1, stamp)
    ticket.trigger(Ticket.Returned, stamp, order_id=second, quantity=1, available=5, held=0, sold=0)
    ticket.edit(listing(amount=3000), SELLER, stamp)
    ticket.withdraw(SELLER, stamp)
    items = (Item(ticket.id, SELLER, "Semi-final", 2, Money(2500, "EUR")),)
    paid = Order.place(UUID(int=300), BUYER, items, DEADLINE, stamp)
    paid.await_payment(INTENT, stamp)
    paid.note_failure(ChargeFailure(INTENT, "card_declined", "generic_decline", "ch_0"), stamp)
    terms = Terms(500, "at_once")
    settlement = Settlement("txn_1", Money(100, "EUR"), Money(4900, "EUR"))
    money = replace(charge(paid), settlement=settlement)
    paid.take_charge(money, stamp, terms=terms, payout_at=NOON, refund_reason=None)
    release(paid, {SELLER: "acct_1"}, stamp)
    note_transfer(paid, 1, "tr_1", stamp)
    check_in(paid, paid.items[0], 1, "Gate A", stamp)
    refund(paid, {ticket.id: 1}, "seller", stamp)
    note_refund(paid, RefundMade("re_1", "ch_1", Money(2500, "EUR"), 1), stamp)
    note_refund_failure(paid, "re_1", stamp)
    note_reversal(paid, 1, "trr_1", stamp)
    asked = Dispute("dp_1", "ch_1", Money(2500, "EUR"), "fraudulent", "needs_response", DEADLINE)
    note_dispute(paid, DisputeWord(asked, Money(1500, "EUR")), stamp)
    note_dispute(paid, DisputeWord(replace(asked, status="under_review")), stamp)
    note_dispute(paid, DisputeWord(replace(asked, status="won"), Money(1500, "EUR"), reinstated=True), stamp)
    cancelled = Order.place(UUID(int=301), BUYER, items, DEADLINE, stamp)
    cancelled.cancel(stamp)
    expired = Order.place(UUID(int=302), BUYER, items, DEADLINE, stamp)
    expired.expire(Stamp(DEADLINE, cause))
    user = User.sign_up(UUID(int=400), stamp)
    user.note_changes(("name",), stamp)
    user.open_account("acct_1", stamp)
    user.note_account(PayoutAccount("acct_1", transfers_enabled=True, details_submitted=True), stamp)
    user.erase(stamp)
    aggregates = (ticket, paid, cancelled, expired, user)
    return [event for aggregate in aggregates for event in aggregate.collect_events()]


if __name__ == "__main__":
    for example in _examples():
        path = SAMPLES / sample_name(type(example))
        if not path.exists():
            path.write_bytes(msgspec.json.format(EventMapper().to_stored_event(example).state, indent=1) + b"\n")
