"""Given a row, when an event comes, then these columns change: the projectors, without a database."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, get_args
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.aggregate import Cause
from domain.listing import EventDetails, Listing
from domain.money import Money
from domain.order import INTENT_CANCELED, Item
from domain.payouts import Refund
from domain.published import (
    ORDERS,
    TICKETS,
    USERS,
    Data,
    OrderAwaitingPayment,
    OrderCancelled,
    OrderCreated,
    OrderExpired,
    PublishedEvent,
    TicketCreated,
    TicketReleased,
    TicketReserved,
    TicketReturned,
    TicketSold,
    TicketUpdated,
    TicketWithdrawn,
    UserCreated,
    UserData,
    UserErased,
    UserUpdated,
)
from domain.published_money import (
    ChargeCreated,
    ChargeFailed,
    ChargeSettled,
    MoneyData,
    OrderCompleted,
    OrderRefunded,
    RefundCreated,
    RefundFailed,
    TransferDue,
)
from projections.buyer_orders import BUYER_ORDERS
from projections.models import MODELS
from projections.projection import Change, Projection, SequenceGap, fold
from projections.ticket_listing import TICKET_LISTING
from projections.user_status import USER_STATUS
from tests.projections.stories import Story, expected_rows

NOON = datetime(2026, 6, 11, 12, tzinfo=UTC)
IT, SOMEBODY, ORDER = UUID(int=1), UUID(int=2), UUID(int=3)
CAUSE = Cause(None, UUID(int=4), UUID(int=5))
EVENT = EventDetails("The final", NOON, "AT&T Stadium", None, "football")
OFFER = Listing("Final", EVENT, Money(900, "EUR"), 5, "…", 60)
ITEM = Item(UUID(int=6), SOMEBODY, "Final", 2, Money(900, "EUR"))


def event(data: Data, sequence: int = 1) -> PublishedEvent:
    topic = next(projection.topic for projection in MODELS.values() if type(data) in _CLASSES[projection.topic])
    moment = NOON + timedelta(minutes=sequence)
    return PublishedEvent(topic, type(data).__name__, IT, sequence, sequence * 10, moment, CAUSE, data)


_CLASSES: dict[str, tuple[type, ...]] = {
    TICKETS: (
        TicketCreated, TicketUpdated, TicketWithdrawn, TicketReserved, TicketReleased, TicketSold, TicketReturned,
    ),
    ORDERS: (
        OrderCreated, OrderAwaitingPayment, OrderCancelled, OrderExpired, *get_args(MoneyData),
    ),
    USERS: get_args(UserData),
}  # fmt: skip

LISTED = TicketCreated(SOMEBODY, OFFER, 5, 0, 0)
ORDERED = OrderCreated(SOMEBODY, (ITEM,), Money(1800, "EUR"), NOON + timedelta(minutes=15))
LATE_MONEY = Refund(1, "ch_1", Money(1800, "EUR"), "sold_out")
COUNTS: dict[str, Any] = {"order_id": ORDER, "quantity": 2}


def folded(projection: Projection, *happened: Data) -> Change:
    change = fold(projection, 0, [event(data, sequence) for sequence, data in enumerate(happened, 1)])
    assert change is not None
    return change


def changed(projection: Projection, first: Data, *then: Data) -> dict[str, Any]:
    """The columns that differ after `then`, but for the time of the change."""
    before, after = folded(projection, first).columns, folded(projection, first, *then).columns
    return {name: value for name, value in after.items() if before[name] != value and name != "updated_at"}


def test_a_new_listing_is_a_whole_row() -> None:
    row = folded(TICKET_LISTING, LISTED)
    assert (row.id, row.base, row.version) == (IT, 0, 1)
    assert row.columns == {
        "seller_id": SOMEBODY, "title": "Final", "event_name": "The final", "starts_at": NOON, "venue": "AT&T Stadium",
        "promoter": None, "category": "football", "amount": 900, "currency": "EUR", "quantity": 5, "description": "…",
        "hold_seconds": 60, "refund_until": None, "refund_fee": 0, "resell_returned": True,
        "available": 5, "held": 0, "sold": 0, "withdrawn": False,
        "created_at": NOON + timedelta(minutes=1), "updated_at": NOON + timedelta(minutes=1), "title_key": "final",
        "terms": "=category:football\n=currency:eur\n=venue:at&t stadium\nat\nfinal\nfootball\nstadium\nt\nthe",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("data", "columns"),
    [
        (TicketReserved(expires_at=NOON, available=3, held=2, sold=0, **COUNTS), {"available": 3, "held": 2}),
        (TicketReleased(reason="expired", available=4, held=1, sold=0, **COUNTS), {"available": 4, "held": 1}),
        (TicketSold(available=3, held=0, sold=2, **COUNTS), {"available": 3, "sold": 2}),
        (TicketReturned(available=4, held=0, sold=1, **COUNTS), {"available": 4, "sold": 1}),
        (TicketWithdrawn(), {"withdrawn": True}),
        (
            TicketUpdated(replace(OFFER, title="Große Halle", quantity=7), 7, 0, 0),
            {
                "title": "Große Halle", "title_key": "grosse halle", "quantity": 7, "available": 7,
                "terms": "=category:football\n=currency:eur\n=venue:at&t stadium"
                "\nat\nfinal\nfootball\ngrosse\nhalle\nstadium\nt\nthe",
            },
        ),
    ],
)  # fmt: skip
def test_an_event_of_a_listing_sets_its_columns(data: Data, columns: dict[str, Any]) -> None:
    assert changed(TICKET_LISTING, LISTED, data) == columns


@pytest.mark.parametrize(
    ("then", "columns"),
    [
        ([OrderCancelled()], {"status": "cancelled"}),
        ([OrderExpired()], {"status": "expired"}),
        ([OrderCompleted(None, Money(0, "EUR"), 0, (), NOON)], {"status": "completed", "payout_at": NOON}),
        (
            [OrderAwaitingPayment("pi_1")],
            {"status": "awaiting_payment", "payment_intent_id": "pi_1", "intent_open": True},
        ),
        (
            [OrderAwaitingPayment("pi_1"), ChargeFailed("pi_1", "ch_1", "card_declined", None)],
            {"status": "awaiting_payment", "payment_intent_id": "pi_1", "intent_open": True},
        ),
        (
            [OrderAwaitingPayment("pi_1"), OrderCancelled(), ChargeFailed("pi_1", None, INTENT_CANCELED, None)],
            {"status": "cancelled", "payment_intent_id": "pi_1"},
        ),
        (
            [
                OrderAwaitingPayment("pi_1"),
                ChargeCreated("pi_1", "ch_1", Money(1800, "EUR"), False, (), 0),
                OrderCompleted("ch_1", None, 0, (), None),
            ],
            {
                "status": "completed", "payment_intent_id": "pi_1", "charge_id": "ch_1", "unsettled_charge_id": "ch_1",
            },
        ),
        (
            [
                OrderAwaitingPayment("pi_1"),
                OrderExpired(),
                ChargeCreated("pi_1", "ch_1", Money(1800, "EUR"), True, (LATE_MONEY,), 1),
                ChargeSettled("ch_1", "txn_1", Money(52, "EUR"), Money(1748, "EUR")),
            ],
            {
                "status": "expired", "payment_intent_id": "pi_1", "charge_id": "ch_1", "moves_due": 1,
                "refunds": '[{"number":1,"charge_id":"ch_1","money":{"amount":1800,"currency":"EUR"},'
                '"reason":"sold_out","refund_id":null,"tries":0}]',
            },
        ),
        (
            [
                OrderCompleted("ch_1", None, 0, (), NOON),
                OrderRefunded("refunded", Money(1800, "EUR"), "seller", (), 0, (), (LATE_MONEY,), 1, None),
                RefundCreated("pi_1", "ch_1", "re_1", Money(1800, "EUR"), 1, (), 0),
            ],
            {"status": "refunded", "items": "[]"},
        ),
        (
            [OrderCompleted("ch_1", None, 0, (), NOON), TransferDue(1, SOMEBODY, Money(9, "EUR"), 1, None)],
            {"status": "completed", "moves_due": 1},
        ),
        ([RefundFailed("ch_1", "re_1", Money(9, "EUR"), 1, (), 3)], {"moves_due": 3}),
    ],
)  # fmt: skip
def test_events_of_an_order_set_its_columns(then: list[Data], columns: dict[str, Any]) -> None:
    assert changed(BUYER_ORDERS, ORDERED, *then) == columns


def test_a_new_order_keeps_its_items_as_they_were_ordered() -> None:
    row = folded(BUYER_ORDERS, ORDERED).columns
    assert row["items"] == (
        f'[{{"ticket_id":"{UUID(int=6)}","seller_id":"{SOMEBODY}","title":"Final","quantity":2,'
        '"price":{"amount":900,"currency":"EUR"},"refund_until":null,"refund_fee":0,"refunded":0}]'
    )
    assert (row["status"], row["buyer_id"], row["amount"], row["currency"]) == ("created", SOMEBODY, 1800, "EUR")


def test_an_account_is_followed() -> None:
    assert changed(USER_STATUS, UserCreated(), UserUpdated(("admin",), True)) == {"admin": True}
    assert changed(USER_STATUS, UserCreated(), UserErased()) == {"erased": True}


def test_every_event_moves_the_time_of_change() -> None:
    assert folded(BUYER_ORDERS, ORDERED, OrderExpired()).columns["updated_at"] == NOON + timedelta(minutes=2)


def test_a_nul_is_kept_out_of_the_database() -> None:
    row = folded(TICKET_LISTING, replace(LISTED, listing=replace(OFFER, title="a\0b", description="\0"))).columns
    assert (row["title"], row["description"], row["title_key"]) == ("a\ufffdb", "\ufffd", "a b")
    assert "\0" not in row["terms"]


def test_a_time_that_utc_cannot_express_is_refused_before_it_breaks_every_page() -> None:
    unreal = replace(OFFER.event, starts_at=datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))))
    with pytest.raises(OverflowError):
        folded(TICKET_LISTING, replace(LISTED, listing=replace(OFFER, event=unreal)))


def test_many_events_of_one_listing_are_one_change() -> None:
    happened: list[Data] = [LISTED, *(TicketReserved(ORDER, 1, NOON, 5 - held, held, 0) for held in range(1, 5))]
    change = folded(TICKET_LISTING, *happened)
    assert change.version == 5
    assert change.columns["held"] == 4


def test_what_was_applied_is_dropped() -> None:
    events = [event(ORDERED, 1), event(OrderAwaitingPayment("pi_1"), 2), event(OrderCancelled(), 3)]
    change = fold(BUYER_ORDERS, 2, [*events, *events])
    assert change is not None
    assert (change.base, change.version, change.columns["status"]) == (2, 3, "cancelled")
    assert "items" not in change.columns
    assert fold(BUYER_ORDERS, 3, events) is None


@pytest.mark.parametrize(("base", "sequences"), [(0, [2]), (1, [3]), (0, [1, 3]), (1, [4, 2, 3])])
def test_a_gap_is_noticed(base: int, sequences: list[int]) -> None:
    data = {1: UserCreated()}
    with pytest.raises(SequenceGap):
        fold(USER_STATUS, base, [event(data.get(at, UserUpdated(("name",), False)), at) for at in sequences])


def test_a_row_begins_with_the_first_event_of_its_aggregate() -> None:
    with pytest.raises(ValueError, match="does not make a whole row"):
        fold(USER_STATUS, 0, [event(UserUpdated(("name",), False), 1)])


@given(st.integers(0, 2**32), st.data())
@settings(max_examples=60, deadline=None)
def test_any_duplication_and_cut_gives_the_same_row(seed: int, data: st.DataObject) -> None:
    """However a story is cut into batches, and whatever is delivered again, the rows are the fold of the log."""
    published = Story(seed).tell(60).published()
    for projection in MODELS.values():
        events = [event for event in published if event.topic == projection.topic]
        rows: dict[UUID, tuple[int, dict[str, Any]]] = {}
        at = 0
        while at < len(events):
            again = data.draw(st.integers(0, at))
            until = data.draw(st.integers(at + 1, len(events)))
            apply(projection, rows, events[again:until])
            at = until
        assert rows == expected_rows(projection, published)


def apply(projection: Projection, rows: dict[UUID, tuple[int, dict[str, Any]]], batch: list[PublishedEvent]) -> None:
    for subject in {event.subject for event in batch}:
        base, columns = rows.get(subject, (0, {}))
        change = fold(projection, base, [event for event in batch if event.subject == subject])
        if change is not None:
            rows[subject] = (change.version, {**columns, **change.columns})
