"""Stripe's word on payments. Whatever comes twice, late or out of order ends in the same state: the store decides."""

from __future__ import annotations

import logging

from aiohttp import web

from adapters.stripe_signature import BadSignature
from adapters.stripe_webhooks import (
    ChargeRefused,
    ChargeSucceeded,
    RefundMade,
    WebhookFact,
    parse_webhook,
)
from api.answers import respond
from api.calls import Call
from api.machine_models import Received
from api.problems import Refused
from domain.errors import ChargeMismatch, OrderNotFound
from domain.marketplace import Ask
from domain.order import Charge, Order

log = logging.getLogger(__name__)

SIGNATURE = "Stripe-Signature"
TAKEN, IGNORED, MISMATCH, BAD_SIGNATURE = "taken", "ignored", "mismatch", "bad_signature"


async def stripe(call: Call) -> web.Response:
    """POST /api/webhooks/stripe: 200 for all that need not come again; 503 while the store is away, so that it does."""
    outcomes = call.services.metrics.webhooks
    try:
        signature = call.request.headers.get(SIGNATURE, "")
        fact = parse_webhook(
            call.raw, signature, call.services.webhook_secrets, live=call.services.gateway.takes_real_money
        )
    except BadSignature as error:
        outcomes.labels(BAD_SIGNATURE).inc()
        raise Refused("bad_signature", str(error)) from error
    outcomes.labels(await _outcome(call, fact)).inc()
    return respond(Received(received=True))


async def _outcome(call: Call, fact: WebhookFact | None) -> str:
    try:
        return IGNORED if fact is None else await _tell(call, fact)
    except OrderNotFound:
        return IGNORED  # an order of another house on the same Stripe account
    except ChargeMismatch as error:
        log.error("request %s: a payment was not taken: %s", call.trace.correlation_id, error)
        return MISMATCH


async def _tell(call: Call, fact: WebhookFact) -> str:
    marketplace = call.services.marketplace
    told: Ask[Order, str] = call.command(lambda _: TAKEN)
    match fact:
        case ChargeSucceeded():
            return await marketplace.take_charge(fact.order_id, fact.charge, told)
        case ChargeRefused():
            return await marketplace.note_failure(fact.order_id, fact.failure, told)
        case RefundMade():
            paid = await call.services.gateway.paid_order(fact.payment_intent_id)
            if paid is None:
                return IGNORED
            order_id, money = paid
            if fact.money != money:
                log.warning("order %s: refund %s is not of the whole charge and is left out", order_id, fact.refund_id)
                return IGNORED
            charge = Charge(fact.payment_intent_id, fact.charge_id, money)
            return await marketplace.note_refund(order_id, charge, fact.refund_id, told)
