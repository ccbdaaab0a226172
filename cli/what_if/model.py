"""The log replayed under another rule, event by event, in memory.

Demand is as it was: the same buyers order the same units at the same moments and pay when they paid. What is asked is
which of it would have come to something.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from cli.what_if.holds import Holds, Placed
from cli.what_if.rule import Rule
from cli.what_if.sums import Sums
from domain.aggregate import Event
from domain.order import INTENT_CANCELED, Order
from domain.ticket import Ticket


class Model:
    """Memory: an entry for each order that may still be paid or would hold units, some numbers for each listing."""

    def __init__(self, rule: Rule) -> None:
        self.sums = Sums(rule)
        self._rule = rule
        self._holds = Holds()
        self._orders: dict[UUID, Placed] = {}
        self._handlers: dict[type[Event], Callable[[Any], None]] = {
            Ticket.Created: self._listed,
            Ticket.Updated: self._listed,
            Ticket.Withdrawn: self._withdrawn,
            Ticket.Returned: self._returned,
            Order.Created: self._ordered,
            Order.AwaitingPayment: self._awaiting_payment,
            Order.ChargeCreated: self._charged,
            Order.ChargeFailed: self._charge_failed,
            Order.Completed: self._completed,
            Order.Cancelled: self._cancelled,
            Order.Expired: self._expired,
        }

    @property
    def stored_names(self) -> list[str]:
        """The events that it has to be told; what tickets say of holds and sales follows from the orders."""
        return [event_class.TOPIC for event_class in self._handlers]

    def apply(self, event: Event) -> None:
        """Takes in the next event of the log.

        Raises:
            LookupError: it is of a listing that was never made.
        """
        self._handlers[type(event)](event)

    def _listed(self, event: Ticket.Created | Ticket.Updated) -> None:
        self._holds.listed(event.originator_id, event.listing.quantity)

    def _withdrawn(self, event: Ticket.Withdrawn) -> None:
        self._holds.withdrawn(event.originator_id)

    def _returned(self, event: Ticket.Returned) -> None:
        self._holds.returned(event.originator_id, event.quantity)

    def _ordered(self, event: Order.Created) -> None:
        deadline = self._rule.deadline(event.timestamp, event.expires_at)
        order = Placed(event.items, event.timestamp, event.expires_at, deadline)
        self._orders[event.originator_id] = order
        self.sums.made += 1
        if self._rule.hold_seconds is not None:
            self._holds.lapse(event.timestamp)
            lacking = self._holds.hold(event.originator_id, order)
            if lacking:
                order.refused = True
                self.sums.refuse(order, lacking)

    def _awaiting_payment(self, event: Order.AwaitingPayment) -> None:
        self._orders[event.originator_id].intent_open = True

    def _charged(self, event: Order.ChargeCreated) -> None:
        self._settle(event, in_truth=not event.refund_due)

    def _completed(self, event: Order.Completed) -> None:
        if event.charge_id is None:
            self._settle(event, in_truth=True)

    def _cancelled(self, event: Order.Cancelled) -> None:
        self._orders.pop(event.originator_id, None)
        self._holds.release(event.originator_id)

    def _expired(self, event: Order.Expired) -> None:
        # Late money may still complete it, as long as its intent is open. Its hold may go on under the other rule.
        order = self._orders.get(event.originator_id)
        if order is not None:
            order.ended = True
            self._forget_if_over(event.originator_id, order)

    def _charge_failed(self, event: Order.ChargeFailed) -> None:
        order = self._orders.get(event.originator_id)
        if order is not None and event.code == INTENT_CANCELED:
            order.intent_open = False
            self._forget_if_over(event.originator_id, order)

    def _forget_if_over(self, order_id: UUID, order: Placed) -> None:
        if order.ended and not order.intent_open:
            del self._orders[order_id]

    def _settle(self, event: Order.ChargeCreated | Order.Completed, *, in_truth: bool) -> None:
        order_id = event.originator_id
        order = self._orders.pop(order_id, None)
        if order is None:
            return  # cancelled, or paid before: the money goes back under any rule
        in_model = in_truth
        if self._rule.hold_seconds is not None:
            self._holds.lapse(event.timestamp)
            in_model = self._holds.sell(order_id, order, event.timestamp)
        self.sums.settle(order_id, order, event.timestamp, in_truth=in_truth, in_model=in_model)
