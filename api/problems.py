"""Errors as RFC 9457 problem details: every code there is, and the status it is answered with."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import msgspec
import psycopg
from aiohttp import web
from eventsourcing.persistence import MapperDeserialisationError

from api.answers import Answer, answer
from api.models import CheckedIn, FieldError, Problem
from api.tracing import Trace
from domain.errors import AggregateUnreadable, DomainError, Invalid, TicketUsed
from domain.ports import PaymentUnavailable

log = logging.getLogger(__name__)

PROBLEMS: Mapping[str, tuple[int, str]] = MappingProxyType(
    {
        "bad_json": (400, "The body is not JSON"),
        "bad_request": (400, "Not a good HTTP request"),
        "bad_signature": (400, "The signature is not good for this body"),
        "bad_ticket_code": (400, "It is no ticket of this house"),
        "bad_link": (400, "The link is not good any more"),
        "unauthenticated": (401, "Not signed in"),
        "bad_credentials": (401, "Wrong e-mail address or password"),
        "bad_refresh_token": (401, "The refresh token is not good any more"),
        "card_declined": (402, "The card was declined"),
        "insufficient_funds": (402, "There is not enough money on the card"),
        "expired_card": (402, "The card has expired"),
        "incorrect_cvc": (402, "The card's security code is wrong"),
        "processing_error": (402, "The card could not be processed"),
        "authentication_failed": (402, "The buyer was not recognised by the card's bank"),
        "email_not_verified": (403, "The e-mail address is not verified"),
        "foreign_origin": (403, "Not from a page of another site"),
        "not_owner": (403, "It belongs to somebody else"),
        "refund_not_allowed": (403, "The seller's terms do not let the buyer give it back"),
        "own_ticket": (403, "Nobody buys their own tickets"),
        "not_found": (404, "There is nothing here"),
        "ticket_not_found": (404, "No such ticket"),
        "order_not_found": (404, "No such order"),
        "user_not_found": (404, "No such user"),
        "method_not_allowed": (405, "Not with this method"),
        "request_timeout": (408, "The request took too long to arrive"),
        "email_taken": (409, "There is an account with this e-mail address"),
        "sold_out": (409, "Not so many are available"),
        "too_many_held": (409, "One buyer holds no more of it unpaid"),
        "ticket_locked": (409, "Somebody is paying for it"),
        "ticket_withdrawn": (409, "The listing was withdrawn"),
        "order_not_open": (409, "The order is not open"),
        "payouts_off": (409, "Sellers are not paid by Stripe here"),
        "order_not_refundable": (409, "The order has nothing that can be refunded"),
        "order_disputed": (409, "The buyer's bank is deciding about the money"),
        "ticket_used": (409, "Somebody came in with it before"),
        "ticket_void": (409, "The ticket is not good any more"),
        "wrong_door": (409, "The ticket is for something else"),
        "account_mismatch": (409, "The account at Stripe is not this person's"),
        "charge_mismatch": (409, "The charge is not the order's"),
        "collection_full": (409, "The collection is full"),
        "idempotency_in_progress": (409, "The first request with this key is still running"),
        "version_mismatch": (412, "It was changed meanwhile"),
        "body_too_large": (413, "The body is too large"),
        "uri_too_long": (414, "The address is too long"),
        "unsupported_media_type": (415, "The body is not of a kind that is read here"),
        "expectation_failed": (417, "The expectation cannot be met"),
        "validation_failed": (422, "A field has a value that cannot be accepted"),
        "idempotency_key_reused": (422, "The key was used for another request"),
        "too_many_requests": (429, "Too many requests"),
        "headers_too_large": (431, "The headers are too large"),
        "internal_error": (500, "Something went wrong here"),
        "busy": (503, "Too much is waiting"),
        "unavailable": (503, "The store does not answer"),
        "payment_unavailable": (503, "The payment provider does not answer"),
    }
)
"""Code → status and title. Codes are a promise to clients; titles are not."""

RETRY_AFTER_SECONDS = {"busy": 1, "unavailable": 2, "payment_unavailable": 2, "idempotency_in_progress": 1}
"""A full mailbox is emptied within a second; a server that went away takes a little longer."""

CHALLENGE = 'Bearer realm="stagedoor"'
_UNAUTHORIZED = 401

_OF_STATUS = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    417: "expectation_failed",
}
"""The codes of what aiohttp refuses by itself."""


_FORESEEN: tuple[tuple[type[Exception], str, str], ...] = (
    (PaymentUnavailable, "payment_unavailable", "ask again in a moment, with the same Idempotency-Key"),
    (psycopg.OperationalError, "unavailable", "the database does not answer"),
    (AggregateUnreadable, "unavailable", "what is stored of it cannot be read; it waits for a repair"),
    (MapperDeserialisationError, "unavailable", "what is stored of it cannot be read; it waits for a repair"),
    (web.RequestPayloadError, "bad_request", "the body cannot be read"),
)


class Refused(Exception):
    """A request that is refused before any command, by a code of `PROBLEMS`."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] = MappingProxyType({}),
        checked_in: CheckedIn | None = None,
    ) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail
        self.errors = list(errors)
        self.headers = headers
        self.checked_in = checked_in


def invalid(field: str, message: str) -> Refused:
    """422 for one field, named as the client wrote it."""
    return Refused("validation_failed", f"{field}: {message}", errors=[FieldError(field, message)])


def problem(
    code: str,
    detail: str,
    trace: Trace,
    errors: Sequence[FieldError] = (),
    *,
    decline_code: str | None = None,
    checked_in: CheckedIn | None = None,
) -> Answer:
    """Problem details as an answer."""
    status, title = PROBLEMS[code]
    return answer(
        status,
        Problem(
            type=f"urn:stagedoor:problem:{code}",
            title=title,
            status=status,
            detail=detail,
            code=code,
            instance=f"urn:uuid:{trace.correlation_id}",
            trace_id=trace.trace_id,
            errors=list(errors) or msgspec.UNSET,
            decline_code=decline_code or msgspec.UNSET,
            checked_in=checked_in or msgspec.UNSET,
        ),
    )


def refusal(error: DomainError, trace: Trace) -> Answer:
    """What a command's refusal is answered with."""
    return _told(_as_refused(error, trace), trace)


def response_to(error: Exception, trace: Trace) -> web.Response:
    """The response to whatever went wrong."""
    refused = _as_refused(error, trace)
    response = _told(refused, trace).response()
    response.headers.update(refused.headers)
    if response.status == _UNAUTHORIZED:
        response.headers.setdefault("WWW-Authenticate", CHALLENGE)
    if refused.code in RETRY_AFTER_SECONDS:
        response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS[refused.code])
    return response


def _told(refused: Refused, trace: Trace) -> Answer:
    return problem(refused.code, refused.detail, trace, refused.errors, checked_in=refused.checked_in)


def _as_refused(error: Exception, trace: Trace) -> Refused:
    if isinstance(error, Refused):
        return error
    if isinstance(error, DomainError):
        errors = [FieldError(error.field, error.message)] if isinstance(error, Invalid) else []
        checked_in = CheckedIn(error.at, error.gate) if isinstance(error, TicketUsed) else None
        return Refused(error.code, str(error), errors=errors, checked_in=checked_in)
    if isinstance(error, web.HTTPException) and error.status in _OF_STATUS:
        kept = {name: error.headers[name] for name in ("Allow",) if name in error.headers}
        return Refused(_OF_STATUS[error.status], error.reason, headers=kept)
    for kind, code, detail in _FORESEEN:
        if isinstance(error, kind):
            return Refused(code, detail)
    _report(error, trace)
    return Refused("internal_error", "it was reported under this answer's instance")


def _report(error: Exception, trace: Trace) -> None:
    """Logs what nobody foresaw: where it happened and of what kind, not its text, which may carry personal data."""
    frames = "".join(traceback.format_tb(error.__traceback__))
    log.error("request %s failed: %s\n%s", trace.correlation_id, type(error).__name__, frames)
