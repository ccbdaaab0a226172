"""Stripe's word on payments. Whatever comes twice, late or out of order ends in the same state: the store decides."""

from __future__ import annotations

import logging
from uuid import UUID

from aiohttp import web

from adapters.stripe_signature import BadSignature
from adapters.stripe_webhooks import (
    AccountChanged,
    ChargeRefused,
    ChargeSucceeded,
    DisputeTold,
    RefundTold,
    WebhookFact,
    parse_webhook,
)
from api.answers import respond
from api.calls import Call
from api.machine_models import Received
from api.problems import Refused
from domain.aggregate import TAggregate
from domain.errors import AccountMismatch, ChargeMismatch, OrderNotFound, UserNotFound
from domain.marketplace import Ask

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
    except (OrderNotFound, UserNotFound):
        return IGNORED  # of another house on the same Stripe account, or of somebody who is gone
    except (ChargeMismatch, AccountMismatch) as error:
        log.error("request %s: what Stripe says was not taken: %s", call.trace.correlation_id, error)
        return MISMATCH


async def _tell(call: Call, fact: WebhookFact) -> str:
    marketplace, gateway = call.services.marketplace, call.services.gateway
    match fact:
        case ChargeSucceeded():
            return await marketplace.take_charge(fact.order_id, fact.charge, _taken(call))
        case ChargeRefused():
            return await marketplace.note_failure(fact.order_id, fact.failure, _taken(call))
        case AccountChanged():
            # Of several changes the news may come in any order: what counts is how the account stands.
            account = await gateway.fetch_account(fact.account_id)
            return await marketplace.note_account(fact.user_id, account, _taken(call))
    order_id = await gateway.order_of(fact.payment_intent_id)
    if order_id is None:
        return IGNORED
    match fact:
        case RefundTold():
            return await _tell_refund(call, order_id, fact)
        case DisputeTold():
            return await marketplace.note_dispute(order_id, fact.word, _taken(call))


async def _tell_refund(call: Call, order_id: UUID, fact: RefundTold) -> str:
    """A failure may be the first that is heard of a refund, and what went before it come later."""
    marketplace, made = call.services.marketplace, fact.made(order_id)
    if made.number is None:
        if fact.failed:
            return await marketplace.note_refund_failure(order_id, made.refund_id, _taken(call))
        known = await call.services.gateway.find_refund(made.refund_id)
        if known is None or known.failed:
            return IGNORED
    outcome = await marketplace.note_refund(order_id, made, _taken(call))
    if fact.failed:
        await marketplace.note_refund_failure(order_id, made.refund_id, _taken(call))
    return outcome


def _taken(call: Call) -> Ask[TAggregate, str]:
    return call.command(lambda _: TAKEN)
