"""Errors in the shape Stripe answers them: a status and `{"error": {type, code, message, param, …}}`.

Types and codes are Stripe's (docs.stripe.com/api/errors, docs.stripe.com/error-codes); the wording is this sandbox's
own.
"""

from __future__ import annotations

from typing import Any

API_ERROR = "api_error"
CARD_ERROR = "card_error"
IDEMPOTENCY_ERROR = "idempotency_error"
INVALID_REQUEST = "invalid_request_error"


class StripeError(Exception):
    """An answer that is an error. `saved`: an idempotency key keeps it, because work on the request had begun."""

    def __init__(
        self,
        status: int,
        error_type: str,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        saved: bool = False,
        **more: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.saved = saved
        self.error: dict[str, Any] = {"type": error_type, "message": message}
        if code is not None:
            self.error["code"] = code
            self.error["doc_url"] = f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}"
        if param is not None:
            self.error["param"] = param
        self.error.update(more)


def invalid(message: str, *, code: str | None = None, param: str | None = None) -> StripeError:
    """400: the request cannot be understood; nothing was done."""
    return StripeError(400, INVALID_REQUEST, message, code=code, param=param)


def refused(message: str, *, code: str | None = None, param: str | None = None, **more: Any) -> StripeError:
    """400: the request is well formed, but the object's state forbids it."""
    return StripeError(400, INVALID_REQUEST, message, code=code, param=param, saved=True, **more)


def missing_object(kind: str, identifier: str, *, param: str, status: int = 404) -> StripeError:
    """No object has this id. 404 where the URL names it, 400 where a parameter of another object does."""
    return StripeError(status, INVALID_REQUEST, f"No such {kind}: '{identifier}'", code="resource_missing", param=param)


def unexpected_state(message: str, payment_intent: dict[str, Any]) -> StripeError:
    """400 `payment_intent_unexpected_state`, with the intent as it is."""
    return refused(message, code="payment_intent_unexpected_state", payment_intent=payment_intent)


def card_error(last_payment_error: dict[str, Any], payment_intent: dict[str, Any]) -> StripeError:
    """402: the card was declined. The error repeats the intent's `last_payment_error` and carries the intent."""
    details = {k: v for k, v in last_payment_error.items() if k not in ("type", "message", "code", "doc_url")}
    return StripeError(
        402,
        CARD_ERROR,
        last_payment_error["message"],
        code=last_payment_error["code"],
        saved=True,
        payment_intent=payment_intent,
        **details,
    )


def server_error(status: int = 500) -> StripeError:
    """A failure on the server's side; `status` may be another one for the `fail_next` switch."""
    if status == 429:  # noqa: PLR2004 - Too Many Requests, the one status here with a code of its own
        return StripeError(status, INVALID_REQUEST, "Too many requests: slow down.", code="rate_limit")
    return StripeError(status, API_ERROR, "The sandbox could not answer this request.")
