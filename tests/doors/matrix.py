"""Who may do what, written a second time by hand: a route without a line here fails, and so does one that changed.

A letter for each of anonymous, owner (a buyer), other user, seller, administrator. Whoever adds a route decides here.
"""

from __future__ import annotations

ROLES = ("anonymous", "owner", "other", "seller", "admin")

MEANING: dict[str, tuple[int, str] | None] = {
    "y": None,
    "-": (401, "unauthenticated"),
    "f": (403, "not_owner"),
    "o": (403, "own_ticket"),
    "n": (404, "order_not_found"),
    "s": (400, "bad_signature"),
    "l": (400, "bad_link"),
}
"""Letter → what is answered; `y`: it is done."""

MATRIX: dict[tuple[str, str], str] = {
    # Accounts
    ("POST", "/api/users/signup"): "yyyyy",
    ("POST", "/api/users/signin"): "yyyyy",
    ("POST", "/api/users/refresh"): "yyyyy",
    ("POST", "/api/users/signout"): "-yyyy",
    ("GET", "/api/users/currentuser"): "yyyyy",
    ("PATCH", "/api/users/currentuser"): "-yyyy",
    ("DELETE", "/api/users/currentuser"): "-yyyy",
    ("GET", "/api/users/currentuser/export"): "-yyyy",
    ("POST", "/api/users/verification"): "-yyyy",
    # Whoever asks, it is the link that counts
    ("POST", "/api/users/verify-email"): "lllll",
    ("POST", "/api/users/password-reset"): "yyyyy",
    ("POST", "/api/users/password-reset/confirm"): "lllll",
    ("GET", "/api/users/{user_id}/tickets"): "yyyyy",
    # Listings: public to read, the seller's alone to change
    ("POST", "/api/tickets"): "-yyyy",
    ("GET", "/api/tickets"): "yyyyy",
    ("GET", "/api/tickets/{ticket_id}"): "yyyyy",
    ("PATCH", "/api/tickets/{ticket_id}"): "-ffyf",
    ("DELETE", "/api/tickets/{ticket_id}"): "-ffyf",
    ("GET", "/api/tickets/{ticket_id}/history"): "-ffyy",
    ("GET", "/api/tickets/{ticket_id}/live"): "yyyyy",
    ("GET", "/api/tickets/live"): "yyyyy",
    # Collection
    ("POST", "/api/collection"): "-yyyy",
    ("GET", "/api/collection"): "-yyyy",
    ("DELETE", "/api/collection/{ticket_id}"): "-yyyy",
    # Orders and payments: the buyer's alone, the seller of the tickets is no party to them
    ("POST", "/api/orders"): "-yyoy",
    ("GET", "/api/orders"): "-yyyy",
    ("GET", "/api/orders/{order_id}"): "-ynny",
    ("DELETE", "/api/orders/{order_id}"): "-ynnn",
    ("GET", "/api/orders/{order_id}/history"): "-ynny",
    # Buyer and seller each by their own rules, the house by none
    ("POST", "/api/orders/{order_id}/refund"): "-ynyy",
    ("GET", "/api/orders/{order_id}/disputes"): "-nnyy",
    # An administrator may ask, and gets none: a code lets its bearer in
    ("GET", "/api/orders/{order_id}/tickets"): "-ynny",
    # At the door: the buyer shows the code, the seller and the house let in
    ("POST", "/api/check-ins"): "-nnyy",
    ("POST", "/api/payments"): "-ynnn",
    # Payouts: a seller's own
    ("GET", "/api/payouts"): "-yyyy",
    ("POST", "/api/payouts/account"): "-yyyy",
    # Analytics: a seller's own, an administrator's everybody's (tests/api/test_api_sales.py)
    ("GET", "/api/analytics/sales"): "-yyyy",
    ("GET", "/api/activity"): "yyyyy",
    ("POST", "/api/webhooks/stripe"): "sssss",
    # Machines
    ("GET", "/healthz"): "yyyyy",
    ("GET", "/readyz"): "yyyyy",
    ("GET", "/metrics"): "yyyyy",
    ("GET", "/.well-known/jwks.json"): "yyyyy",
    ("GET", "/.well-known/stagedoor-tickets.json"): "yyyyy",
    ("GET", "/openapi.json"): "yyyyy",
    ("GET", "/docs"): "yyyyy",
    ("GET", "/docs/{asset}"): "yyyyy",
}
