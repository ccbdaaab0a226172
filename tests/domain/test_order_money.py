"""What becomes of a paid order's money: refunds, payouts and disputes, one test a rule."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from domain.errors import ChargeMismatch, OrderDisputed, OrderNotRefundable, RefundNotAllowed
from domain.money import Money
from domain.order import Item, Order, Settlement
from domain.order_disputes import DisputeWord, note_dispute
from domain.order_payouts import note_reversal, note_transfer, owed, release
from domain.order_refunds import (
    MAX_REFUNDS,
    Refunded,
    RefundMade,
    check_terms,
    note_refund,
    note_refund_failure,
    refund,
    refundable,
    undoes,
)
from domain.payouts import MAX_TRIES, Dispute, Refund, Reversal, Terms, Transfer, fee_of
from tests.domain.scenes import (
    BUYER,
    DEADLINE,
    INTENT,
    NOON,
    OTHER,
    SELLER,
    at,
    charge,
    order,
    pays,
    pays_in_vain,
    then,
)

FIVE_PERCENT = Terms(fee_bps=500, payouts="at_once")
LATE = NOON + timedelta(days=1)


def eur(amount: int) -> Money:
    return Money(amount, "EUR")


def paid(*items: Item, terms: Terms = FIVE_PERCENT) -> Order:
    """Given an order that was paid at NOON, of two tickets at 25 EUR unless said otherwise."""
    items = items or (Item(uuid4(), SELLER, "Semi-final", 2, eur(2500)),)
    made = Order.place(uuid4(), BUYER, items, DEADLINE, at())
    made.await_payment(INTENT, at())
    pays(made, terms=terms, payout_at=terms.payout_at(NOON, [NOON + timedelta(days=30)]))
    made.collect_events()
    return made


def paid_out(*items: Item) -> Order:
    """Given such an order whose money its sellers have."""
    made = paid(*items)
    release(made, {SELLER: "acct_1", OTHER: "acct_2"}, at())
    for transfer in made.transfers:
        note_transfer(made, transfer.number, f"tr_{transfer.number}", at())
    made.collect_events()
    return made


def all_of(of: Order) -> dict[UUID, int]:
    return refundable(of)


def one_of(of: Order) -> dict[UUID, int]:
    return {of.items[0].ticket_id: 1}


def asked(of: Order, status: str = "needs_response", amount: int | None = None) -> Dispute:
    return Dispute("dp_1", "ch_1", eur(of.total.amount if amount is None else amount), "fraudulent", status)


# What the money is divided into -----------------------------------------------------------------------------------


def test_a_paid_order_is_divided_among_its_sellers_and_the_house() -> None:
    given = paid(Item(uuid4(), SELLER, "a", 3, eur(999)), Item(uuid4(), OTHER, "b", 1, eur(2500)))
    assert [(share.seller_id, share.gross, share.fee) for share in given.shares] == [
        (SELLER, 2997, 149),
        (OTHER, 2500, 125),
    ]
    assert owed(given.shares, ()) == {SELLER: 2848, OTHER: 2375}


@pytest.mark.parametrize(
    ("amount", "bps", "currency", "fee"),
    [(999, 500, "EUR", 49), (1, 9_999, "EUR", 0), (100, 10_000, "EUR", 100), (12_340, 500, "KWD", 610)],
)
def test_the_fee_is_rounded_down_to_what_can_be_charged(amount: int, bps: int, currency: str, fee: int) -> None:
    assert fee_of(amount, bps, currency) == fee


def test_an_order_that_cost_nothing_has_nothing_to_divide() -> None:
    free = Order.place(uuid4(), BUYER, (Item(uuid4(), SELLER, "x", 2, eur(0)),), DEADLINE, at())
    refund(free, all_of(free), "seller", at())
    assert (then(free), free.status, free.due_moves()) == (["Created", "Completed", "Refunded"], "refunded", ())


def test_what_stripe_keeps_is_taken_down_once() -> None:
    given = paid()
    settlement = Settlement("txn_1", eur(75), eur(4925))
    for _ in range(2):
        given.note_settlement("ch_1", settlement, at())
    given.note_settlement("ch_of_another", settlement, at())
    assert then(given) == ["ChargeSettled"]


# Refunds ------------------------------------------------------------------------------------------------------------


def test_a_whole_refund_undoes_the_order() -> None:
    given = paid()
    refund(given, all_of(given), "seller", at())
    assert (then(given), given.status) == (["Refunded"], "refunded")
    assert given.due_moves() == (Refund(1, "ch_1", eur(5000), "seller"),)
    assert (given.money_left, given.payout_at, owed(given.shares, ())) == (0, None, {SELLER: 0})
    with pytest.raises(OrderNotRefundable):
        refund(given, one_of(given), "seller", at())


def test_by_ticket_the_order_stays_until_the_last_one() -> None:
    given = paid()
    refund(given, one_of(given), "seller", at())
    assert (given.status, given.items[0].kept, given.shares[0].fee) == ("completed", 1, 125)
    refund(given, one_of(given), "house", at())
    assert (given.status, [due.money.amount for due in given.refunds]) == ("refunded", [2500, 2500])
    assert [due.number for due in given.refunds] == [1, 2]


def test_no_more_than_the_buyer_has() -> None:
    given = paid()
    for wanted in ({}, {given.items[0].ticket_id: 3}, {given.items[0].ticket_id: 0}, {uuid4(): 1}):
        with pytest.raises(OrderNotRefundable):
            refund(given, wanted, "seller", at())
    unpaid = order()
    with pytest.raises(OrderNotRefundable):
        refund(unpaid, all_of(unpaid), "seller", at())
    assert then(given) == then(unpaid) == []


def test_the_buyer_pays_the_sellers_fee_and_the_house_takes_its_part_of_it() -> None:
    terms = Item(uuid4(), SELLER, "x", 2, eur(2500), refund_until=LATE, refund_fee=500)
    given = paid(terms)
    check_terms(given, all_of(given), NOON)
    refund(given, all_of(given), "buyer", at())
    assert (given.refunds[0].money, given.shares[0].gross, given.shares[0].fee) == (eur(4000), 1000, 50)
    assert given.payout_at is not None, "the seller keeps something, and is paid it"


def test_the_sellers_own_refund_costs_no_fee() -> None:
    given = paid(Item(uuid4(), SELLER, "x", 2, eur(2500), refund_until=LATE, refund_fee=500))
    refund(given, all_of(given), "seller", at())
    assert given.refunds[0].money == eur(5000)


def test_a_buyer_may_give_back_until_the_sellers_time_and_not_at_all_without_one() -> None:
    given = paid(Item(uuid4(), SELLER, "x", 1, eur(2500), refund_until=LATE), Item(uuid4(), SELLER, "y", 1, eur(1)))
    with_terms, without = (item.ticket_id for item in given.items)
    check_terms(given, {with_terms: 1}, LATE - timedelta(microseconds=1))
    for wanted, moment in (({with_terms: 1}, LATE), ({without: 1}, NOON), ({with_terms: 1, without: 1}, NOON)):
        with pytest.raises(RefundNotAllowed):
            check_terms(given, wanted, moment)


def test_a_refund_is_heard_of_once_by_its_number() -> None:
    given = paid()
    refund(given, one_of(given), "seller", at())
    given.collect_events()
    for _ in range(2):
        note_refund(given, RefundMade("re_1", "ch_1", eur(2500), 1), at())
    assert (then(given), given.due_moves(), given.refund_id) == (["RefundCreated"], (), "re_1")
    with pytest.raises(ChargeMismatch):
        note_refund(given, RefundMade("re_2", "ch_9", eur(2500), 1), at())


def test_a_refund_of_another_amount_than_was_decided_is_not_that_refund() -> None:
    given = paid()
    refund(given, one_of(given), "seller", at())
    with pytest.raises(ChargeMismatch):
        note_refund(given, RefundMade("re_1", "ch_1", eur(2499), 1), at())


def test_a_refund_that_failed_is_due_again_until_a_person_has_to_look() -> None:
    given = paid()
    refund(given, all_of(given), "seller", at())
    for tries in range(MAX_TRIES):
        assert given.due_moves() == (replace(given.refunds[0], tries=tries),)
        note_refund(given, RefundMade(f"re_{tries}", "ch_1", eur(5000), 1, tries), at())
        for _ in range(2):
            note_refund_failure(given, f"re_{tries}", at())
    assert (given.due_moves(), given.refunds[0].status) == ((), "failed")
    note_refund(given, RefundMade("re_by_hand", "ch_1", eur(5000), None), at())
    assert given.refunds[0].status == "succeeded"


def test_a_whole_refund_made_at_stripe_undoes_the_order() -> None:
    given = paid()
    made = RefundMade("re_1", "ch_1", eur(5000), None)
    assert undoes(given, made)
    note_refund(given, made, at())
    assert (then(given), given.status, given.refunds[0].reason) == (["Refunded", "RefundCreated"], "refunded", "stripe")
    assert not undoes(given, made)


def test_a_part_refunded_at_stripe_is_the_houses_gift() -> None:
    given = paid()
    note_refund(given, RefundMade("re_1", "ch_1", eur(100), None), at())
    assert (given.status, given.items[0].kept, given.shares[0].gross, given.money_left) == ("completed", 2, 5000, 4900)
    refund(given, all_of(given), "seller", at())
    assert given.refunds[-1].money == eur(4900), "not more than is left"


@pytest.mark.parametrize(
    ("decided", "at_stripe", "gift", "owed_now"),
    [
        (2500, 1000, 1000, 2500),
        (2500, 2500, None, 0),
        (2500, 4000, 2500, 1000),
        (5000, 1000, 0, 4000),
        (5000, 5000, None, 0),
    ],
)
def test_what_is_refunded_at_stripe_while_a_refund_is_due_pays_for_it_where_the_charge_has_no_more(
    decided: int, at_stripe: int, gift: int | None, owed_now: int
) -> None:
    """`gift` None: it is the due one."""
    given = paid()
    refund(given, all_of(given) if decided == given.total.amount else one_of(given), "seller", at())
    given.collect_events()
    note_refund(given, RefundMade("re_by_hand", "ch_1", eur(at_stripe), None), at())
    refunded = [event for event in given.collect_events() if isinstance(event, Refunded)]
    assert [event.money.amount for event in refunded] == ([] if gift is None else [gift])
    due = given.due_moves()
    assert sum(move.money.amount for move in due) == owed_now
    assert all(move.number != 1 for move in due) or owed_now == decided, "another amount is another number"
    assert len({known.number for known in given.refunds}) == len(given.refunds)
    assert at_stripe + owed_now <= given.total.amount


def test_two_due_refunds_are_cut_to_what_is_left() -> None:
    given = paid(Item(uuid4(), SELLER, "x", 3, eur(1000)))
    for _ in range(2):
        refund(given, one_of(given), "seller", at())
    note_refund(given, RefundMade("re_by_hand", "ch_1", eur(1500), None), at())
    assert [(due.number, due.money.amount) for due in given.due_moves()] == [(1, 1000), (3, 500)]
    assert (given.status, given.money_left, given.refund_id) == ("refunded", 0, "re_by_hand")


def test_late_money_says_why_it_goes_back() -> None:
    given = order()
    given.await_payment(INTENT, at())
    pays_in_vain(given, "withdrawn")
    assert given.due_moves() == (Refund(1, "ch_1", given.total, "withdrawn"),)


def test_an_order_has_so_many_refunds_at_most() -> None:
    given = paid(*(Item(uuid4(), SELLER, "x", 100, eur(1)) for _ in range(2)))
    for item in [given.items[0].ticket_id] * MAX_REFUNDS:
        refund(given, {item: 1}, "seller", at())
    with pytest.raises(OrderNotRefundable):
        refund(given, {given.items[1].ticket_id: 1}, "seller", at())


# Payouts ------------------------------------------------------------------------------------------------------------


def test_sellers_are_paid_when_the_time_has_come_and_they_can_be() -> None:
    given = paid(Item(uuid4(), SELLER, "a", 2, eur(2500)), Item(uuid4(), OTHER, "b", 1, eur(1000)))
    assert given.payout_at is not None
    release(given, {SELLER: "acct_1"}, at(given.payout_at - timedelta(microseconds=1)))
    assert then(given) == []
    release(given, {SELLER: "acct_1"}, at(given.payout_at))
    assert given.due_moves() == (Transfer(1, SELLER, "acct_1", eur(4750), "ch_1"),)
    assert given.payout_at is not None, "the other one is not paid yet"
    release(given, {SELLER: "acct_1", OTHER: "acct_2"}, at(LATE))
    release(given, {SELLER: "acct_1", OTHER: "acct_2"}, at(LATE))
    assert ([transfer.seller_id for transfer in given.transfers], given.payout_at) == ([SELLER, OTHER], None)
    for _ in range(2):
        note_transfer(given, 1, "tr_1", at(LATE))
    assert then(given) == ["TransferDue", "TransferDue", "TransferCreated"]


def test_after_a_refund_the_seller_gives_back_their_part() -> None:
    given = paid_out()
    refund(given, one_of(given), "seller", at())
    assert then(given) == ["Refunded", "ReversalDue"]
    assert given.reversals == (Reversal(1, SELLER, "tr_1", eur(2375)),)
    for _ in range(2):
        note_reversal(given, 1, "trr_1", at())
    assert (then(given), owed(given.shares, given.transfers)) == (["TransferReversed"], {SELLER: 0})


def test_a_refund_while_the_transfer_is_under_way_is_taken_back_once_that_is_made() -> None:
    given = paid()
    release(given, {SELLER: "acct_1"}, at())
    refund(given, all_of(given), "seller", at())
    assert given.reversals == ()
    note_transfer(given, 1, "tr_1", at())
    assert given.reversals == (Reversal(1, SELLER, "tr_1", eur(4750)),)


@pytest.mark.parametrize(
    ("payouts", "payout_at"),
    [("off", None), ("at_once", NOON), ("after_event", NOON + timedelta(days=31))],
)
def test_when_sellers_are_paid_is_a_setting(payouts: str, payout_at: object) -> None:
    terms = Terms(payouts=payouts)  # type: ignore[arg-type]
    assert terms.payout_at(NOON, [NOON, NOON + timedelta(days=30)]) == payout_at


# Disputes -----------------------------------------------------------------------------------------------------------


def test_a_dispute_freezes_payouts_and_refunds() -> None:
    given = paid()
    note_dispute(given, DisputeWord(asked(given), eur(1500)), at())
    with pytest.raises(OrderDisputed):
        release(given, {SELLER: "acct_1"}, at())
    with pytest.raises(OrderDisputed):
        refund(given, all_of(given), "seller", at())
    assert then(given) == ["DisputeCreated", "DisputeFundsWithdrawn"]


def test_a_dispute_that_is_won_leaves_everything_as_it_was() -> None:
    given = paid()
    note_dispute(given, DisputeWord(asked(given), eur(1500)), at())
    won = DisputeWord(asked(given, "won"), eur(1500), reinstated=True)
    for _ in range(2):
        note_dispute(given, won, at())
    note_dispute(given, DisputeWord(asked(given, "under_review")), at())
    assert then(given) == ["DisputeCreated", "DisputeFundsWithdrawn", "DisputeFundsReinstated", "DisputeClosed"]
    release(given, {SELLER: "acct_1"}, at())
    assert given.due_moves()[0].money == eur(4750)


def test_a_dispute_that_is_lost_is_the_sellers_and_the_houses_loss() -> None:
    given = paid_out()
    note_dispute(given, DisputeWord(asked(given), eur(1500)), at())
    note_dispute(given, DisputeWord(asked(given, "lost"), eur(1500)), at())
    assert (given.money_left, given.shares[0].gross, given.shares[0].fee) == (0, 0, 0)
    assert given.due_moves() == (Reversal(1, SELLER, "tr_1", eur(4750)),)
    refund(given, all_of(given), "seller", at())
    assert (given.status, given.refunds) == ("refunded", ()), "the tickets are void, the buyer has the money"


def test_the_end_of_a_dispute_may_be_the_first_word_of_it() -> None:
    given = paid()
    note_dispute(given, DisputeWord(asked(given, "lost"), eur(1500)), at())
    assert then(given) == ["DisputeCreated", "DisputeFundsWithdrawn", "DisputeClosed"]
    assert not given.is_disputed


def test_a_refund_that_was_not_made_in_time_is_carried_by_the_bank() -> None:
    given = paid()
    refund(given, one_of(given), "seller", at())
    note_dispute(given, DisputeWord(asked(given, "lost"), eur(1500)), at())
    assert (given.due_moves(), given.refunds[0].refund_id, given.shares[0].gross) == ((), "dp_1", 0)


def test_a_bank_that_brings_less_than_was_decided_leaves_the_rest_due() -> None:
    """Somebody had refunded at Stripe before, which is heard of last."""
    given = paid()
    refund(given, all_of(given), "seller", at())
    note_dispute(given, DisputeWord(asked(given, "lost", 3000), eur(1500)), at())
    assert [(due.number, due.money.amount) for due in given.due_moves()] == [(2, 2000)]
    assert [(known.number, known.refund_id, known.money.amount) for known in given.refunds] == [
        (1, "dp_1", 3000),
        (2, None, 2000),
    ]
    note_refund(given, RefundMade("re_by_hand", "ch_1", eur(2000), None), at())
    assert given.due_moves() == ()


def test_what_a_bank_took_is_not_there_for_refunds() -> None:
    given = paid()
    refund(given, one_of(given), "seller", at())
    note_refund(given, RefundMade("re_1", "ch_1", eur(2500), 1), at())
    note_dispute(given, DisputeWord(asked(given, "lost", 1500), eur(1500)), at())
    refund(given, one_of(given), "seller", at())
    assert [due.money.amount for due in given.due_moves()] == [1000]
    note_refund(given, RefundMade("re_by_hand", "ch_1", eur(400), None), at())
    assert [due.money.amount for due in given.due_moves()] == [600]


def test_a_dispute_about_another_charge_is_refused() -> None:
    given = paid()
    with pytest.raises(ChargeMismatch):
        note_dispute(given, DisputeWord(replace(asked(given), charge_id="ch_9")), at())


def test_money_that_is_no_charges_of_the_order_is_never_taken() -> None:
    given = paid()
    with pytest.raises(ChargeMismatch):
        given.check_charge(replace(charge(given), money=eur(1)))
