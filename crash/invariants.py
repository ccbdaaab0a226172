"""What must hold after any crash. Each check returns a line for everything it found wrong.

They are pure, so that each can be shown to fail (tests/crash).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

from crash.evidence import Charge, Evidence, deadlines
from crash.history import BAD_CARD, CANCEL, FINAL, OFFER, PAY, RESERVE, Operation, Try, by_key, operations

COMPLETED, CANCELLED, EXPIRED = "completed", "cancelled", "expired"

SHOWN = 200
"""Characters of an answer; the history has all of it."""

Check = Callable[[Sequence[Try], Evidence], Iterable[str]]


def only_expected_answers(tries: Sequence[Try], _evidence: Evidence) -> Iterator[str]:
    """Nobody did anything wrong, so nobody may hear of an internal error, or that something is not there."""
    for one in tries:
        if one.outcome == "unexpected":
            yield f"request {one.number} ({one.kind}) was answered {one.status} {one.code}"


def every_key_is_answered(tries: Sequence[Try], _evidence: Evidence) -> Iterator[str]:
    """A request repeated under its key comes to an answer in the end."""
    for group in by_key(tries):
        if group[0].key is not None and not any(one.outcome in FINAL for one in group):
            last = group[-1]
            yield f"key {last.key} ({last.kind}), {len(group)} requests, no answer, last {last.status} {last.code}"


def one_answer_per_key(tries: Sequence[Try], _evidence: Evidence) -> Iterator[str]:
    """The same key, the same status and the same body, across all crashes."""
    for group in by_key(tries):
        answers = {(one.status, one.answer): one.number for one in group if one.outcome in FINAL}
        if len(answers) > 1:
            told = "; ".join(f"request {n}: {status} {text[:SHOWN]}" for (status, text), n in answers.items())
            yield f"key {group[0].key} ({group[0].kind}) has {len(answers)} answers: {told}"


def answered_orders_are_there_once(tries: Sequence[Try], evidence: Evidence) -> Iterator[str]:
    """What was answered 201 is there, as it was ordered, in one place, made by one request."""
    count = Counter(order.id for order in evidence.orders)
    house = {order.id: order for order in evidence.orders}
    made: dict[str, int] = {}
    for operation in _with_outcome(tries, RESERVE, "ok"):
        order_id, first = operation.order, operation.first
        assert order_id is not None
        if order_id in made:
            yield f"order {order_id} was given to two requests, {made[order_id]} and {first.number}"
        made[order_id] = first.number
        if count[order_id] != 1:
            yield f"order {order_id}, answered 201 to request {first.number}, is there {count[order_id]} times"
            continue
        found = house[order_id]
        if (found.person, found.listing, found.units) != (first.person, first.listing, first.quantity):
            yield f"order {order_id} is not what request {first.number} ordered: {found}"


def answered_listings_are_there(tries: Sequence[Try], evidence: Evidence) -> Iterator[str]:
    """The same of listings; the log has each created once."""
    created = Counter(event.subject for event in evidence.log if event.type == "TicketCreated")
    for operation in _with_outcome(tries, OFFER, "ok"):
        listing_id = operation.answered.listing if operation.answered else None
        if listing_id is None or created[listing_id] != 1:
            yield f"listing {listing_id}, answered 201, was created {created[listing_id or '']} times"
    asked = sum(one.kind == OFFER for one in operations(tries))
    if (made := sum(created.values())) > asked:
        yield f"{made} listings were created, and {asked} were asked for"


def nobody_else_ordered(tries: Sequence[Try], evidence: Evidence) -> Iterator[str]:
    """Every order is one that was answered, or one request whose answer was lost explains it: none is there twice."""
    answered = {operation.order for operation in _with_outcome(tries, RESERVE, "ok")}
    lost = Counter(
        (operation.first.person, operation.first.listing, operation.first.quantity)
        for operation in _with_outcome(tries, RESERVE, "unknown")
    )
    for order in evidence.orders:
        if order.id not in answered:
            what = (order.person, order.listing, order.units)
            lost[what] -= 1
            if lost[what] < 0:
                yield f"order {order.id} of person {order.person} is there, and no request explains it"


def promises_are_kept(tries: Sequence[Try], evidence: Evidence) -> Iterator[str]:
    """Paid is completed, cancelled is cancelled, and neither without having been asked for; nothing is left open."""
    asked: dict[str, dict[str, list[Operation]]] = defaultdict(lambda: {PAY: [], CANCEL: []})
    for operation in operations(tries):
        if operation.kind in (PAY, CANCEL) and operation.order is not None:
            asked[operation.order][operation.kind].append(operation)
    for order in evidence.orders:
        pays, cancels = asked[order.id][PAY], asked[order.id][CANCEL]
        paid = any(one.outcome == "ok" for one in pays)
        cancelled = any(one.outcome == "ok" for one in cancels)
        if paid and order.status != COMPLETED:
            yield f"order {order.id} was paid, and is {order.status}"
        if cancelled and order.status != CANCELLED:
            yield f"order {order.id} was cancelled, and is {order.status}"
        if order.status == COMPLETED and not any(map(_may_have_paid, pays)):
            yield f"order {order.id} is completed, and nobody paid it"
        if order.status == CANCELLED and not any(one.outcome in ("ok", "unknown") for one in cancels):
            yield f"order {order.id} is cancelled, and nobody cancelled it"
        if order.status not in (COMPLETED, CANCELLED, EXPIRED):
            yield f"order {order.id} is still {order.status}, long after its deadline"


def one_intent_per_order(_tries: Sequence[Try], evidence: Evidence) -> Iterator[str]:
    """The payment provider was asked for one intent, however often."""
    for order_id, number in Counter(evidence.intents.values()).items():
        if order_id is not None and number > 1:
            yield f"order {order_id} has {number} payment intents"


def money_is_right(_tries: Sequence[Try], evidence: Evidence) -> Iterator[str]:
    """A completed order has one charge, of its amount, and keeps it; any other has none, or it went back whole."""
    kept: dict[str | None, list[Charge]] = defaultdict(list)
    for charge in evidence.charges:
        if charge.succeeded and sum(charge.refunds) != charge.amount:
            kept[charge.order].append(charge)
    for order in evidence.orders:
        paid = [(charge.id, charge.amount, sum(charge.refunds)) for charge in kept.pop(order.id, [])]
        if order.status == COMPLETED and paid != [(order.charge, order.amount, 0)]:
            yield f"order {order.id} is completed for {order.amount} by {order.charge}, and was paid by {paid}"
        if order.status != COMPLETED and paid:
            yield f"order {order.id} is {order.status}, and its money was kept: {paid}"
    for order_id, charges in kept.items():
        yield f"money was kept for order {order_id}, which is not there: {charges}"


def refunds_are_told_once(_tries: Sequence[Try], evidence: Evidence) -> Iterator[str]:
    """Money goes back once, and the order says so."""
    orders = {order.id: order for order in evidence.orders}
    for charge in evidence.charges:
        if len(charge.refunds) > 1:
            yield f"charge {charge.id} of {charge.amount} went back {len(charge.refunds)} times"
        order = orders.get(charge.order or "")
        if charge.refunds and (order is None or order.refund is None):
            yield f"charge {charge.id} of order {charge.order} went back, and the order does not say so"


def paid_charges_are_the_orders(tries: Sequence[Try], evidence: Evidence) -> Iterator[str]:
    """The charge in the answer to a payment is the one that the order has."""
    orders = {order.id: order for order in evidence.orders}
    for operation in _with_outcome(tries, PAY, "ok"):
        assert operation.answered is not None
        told, order = operation.answered.body()["charge_id"], orders.get(operation.order or "")
        if order is not None and order.charge != told:
            yield f"order {order.id} has charge {order.charge}, its payment was answered with {told}"


def listings_add_up(_tries: Sequence[Try], evidence: Evidence) -> Iterator[str]:
    """Nothing sold twice: what is sold are the units of the completed orders, what is available is all the rest."""
    sold: Counter[str] = Counter()
    for order in evidence.orders:
        if order.status == COMPLETED:
            sold[order.listing] += order.units
    for listing in evidence.listings:
        if listing.sold != sold[listing.id] or listing.sold > listing.quantity:
            yield f"listing {listing.id} of {listing.quantity} says {listing.sold} sold, orders say {sold[listing.id]}"
        if (listing.held, listing.available) != (0, listing.quantity - listing.sold):
            yield f"listing {listing.id} does not add up, or still holds units: {listing}"


def nothing_expired_early(_tries: Sequence[Try], evidence: Evidence) -> Iterator[str]:
    """A hold is never taken back before its deadline, by the database's clock."""
    due = deadlines(evidence.log)
    for event in evidence.log:
        if event.type == "TicketReleased" and event.data["reason"] in ("expired", "lapsed"):
            order_id = event.data["order_id"]
            if event.at_ns < due[order_id]:
                early_ms = (due[order_id] - event.at_ns) / 1e6
                yield f"order {order_id} lost its units {early_ms:.1f} ms before its deadline"


def topics_have_no_gaps(_tries: Sequence[Try], evidence: Evidence) -> Iterator[str]:
    """Each key in one partition, its sequence from 1, one at a time; what comes twice is the same both times."""
    home: dict[str, tuple[str, int]] = {}
    seen: dict[str, str] = {}
    for partition in evidence.partitions:
        here = f"{partition.topic}/{partition.number}"
        last: dict[str, int] = {}
        for record in partition.records:
            if home.setdefault(record.key, (partition.topic, partition.number)) != (partition.topic, partition.number):
                yield f"key {record.key} is in {here} and in {'/'.join(map(str, home[record.key]))}"
            if record.key != record.subject or record.id != f"{record.subject}/{record.sequence}":
                yield f"{here} has event {record.id} of {record.subject} under key {record.key}"
            if seen.setdefault(record.id, record.data) != record.data:
                yield f"{here} has two different events {record.id}"
            before = last.get(record.key, 0 if partition.complete else record.sequence - 1)
            if record.sequence > before + 1:
                yield f"{here} has {record.id} after sequence {before}"
            last[record.key] = max(before, record.sequence)


def topics_have_the_log(_tries: Sequence[Try], evidence: Evidence) -> Iterator[str]:
    """Everything in the log is on Kafka, and nothing else."""
    last: dict[str, int] = {}
    dropped = {partition.topic for partition in evidence.partitions if not partition.complete}
    for partition in evidence.partitions:
        for record in partition.records:
            last[record.key] = max(record.sequence, last.get(record.key, 0))
    logged: dict[str, int] = {}
    for event in evidence.log:
        if event.topic not in dropped:
            logged[event.subject] = event.sequence
    for subject, sequence in logged.items():
        if last.get(subject, 0) != sequence:
            yield f"{subject} is at {sequence} in the log, and at {last.get(subject, 0)} on Kafka"
    for key in last.keys() - {event.subject for event in evidence.log}:
        yield f"Kafka has events of {key}, which is not in the log"


CHECKS: tuple[Check, ...] = (
    only_expected_answers,
    every_key_is_answered,
    one_answer_per_key,
    answered_orders_are_there_once,
    answered_listings_are_there,
    nobody_else_ordered,
    promises_are_kept,
    one_intent_per_order,
    money_is_right,
    refunds_are_told_once,
    paid_charges_are_the_orders,
    listings_add_up,
    nothing_expired_early,
    topics_have_no_gaps,
    topics_have_the_log,
)
"""All of them."""


def check_all(tries: Sequence[Try], evidence: Evidence) -> list[tuple[str, str]]:
    """What was found wrong: the name of the check and a line."""
    return [(check.__name__.replace("_", " "), line) for check in CHECKS for line in check(tries, evidence)]


def _with_outcome(tries: Sequence[Try], kind: str, outcome: str) -> Iterator[Operation]:
    return (one for one in operations(tries) if one.kind == kind and one.outcome == outcome)


def _may_have_paid(operation: Operation) -> bool:
    return operation.outcome in ("ok", "unknown") and operation.first.card != BAD_CARD
