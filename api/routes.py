"""Every route there is: method, path, handler, who may, what goes in, what comes out.

Whoever adds a line decides its access here; a test fails for a route it does not try with everybody.
"""

from __future__ import annotations

from api import (
    collection,
    docs,
    health,
    history,
    machine_models,
    models,
    orders,
    payments,
    query_models,
    signing_in,
    tickets,
    users,
    webhooks,
)
from api.route import Access, Route, route

_STORE = ("busy", "unavailable")
_CHANGE = ("ticket_not_found", "not_owner", "ticket_locked", "ticket_withdrawn", *_STORE)

ROUTES: tuple[Route, ...] = (
    # Accounts
    route("POST", "/api/users/signup", signing_in.sign_up, Access.ANYONE, "Open an account",
          body=models.NewAccount, answers={201: models.SignedIn}, problems=("email_taken", *_STORE), takes_key=True),
    route("POST", "/api/users/signin", signing_in.sign_in, Access.ANYONE, "Sign in",
          body=models.Credentials, answers={200: models.SignedIn}, problems=("bad_credentials", *_STORE)),
    route("POST", "/api/users/refresh", signing_in.refresh, Access.ANYONE, "Exchange a refresh token for a new pair",
          body=models.RefreshRequest, answers={200: models.SignedIn}, problems=("bad_refresh_token", "unavailable")),
    route("POST", "/api/users/signout", signing_in.sign_out, Access.SIGNED_IN, "End this session",
          answers={204: None}, problems=("unavailable",)),
    route("GET", "/api/users/currentuser", users.current, Access.OPTIONAL, "Who am I",
          answers={200: models.CurrentUser}, problems=("unavailable",)),
    route("PATCH", "/api/users/currentuser", users.change, Access.SIGNED_IN, "Change name, address or password",
          body=models.AccountChanges, answers={200: models.CurrentUser}, problems=("email_taken", *_STORE)),
    route("DELETE", "/api/users/currentuser", users.erase, Access.SIGNED_IN, "Erase my personal data",
          answers={204: None}, problems=_STORE),
    route("GET", "/api/users/{user_id}/tickets", tickets.of_seller, Access.ANYONE, "A seller's listings",
          query=query_models.PageQuery, answers={200: models.TicketPage}, problems=("user_not_found", "unavailable")),
    # Listings
    route("POST", "/api/tickets", tickets.offer, Access.SIGNED_IN, "List tickets for sale",
          body=models.NewTicket, answers={201: models.Ticket}, problems=_STORE, takes_key=True),
    route("GET", "/api/tickets", tickets.search, Access.ANYONE, "Search listings",
          query=query_models.TicketQuery, answers={200: models.TicketPage}, problems=("unavailable",)),
    route("GET", "/api/tickets/{ticket_id}", tickets.read, Access.ANYONE, "One listing",
          query=query_models.OneQuery, answers={200: models.Ticket, 304: None},
          problems=("ticket_not_found", "unavailable")),
    route("PATCH", "/api/tickets/{ticket_id}", tickets.edit, Access.OWNER, "Edit a listing",
          body=models.TicketChanges, answers={200: models.Ticket}, problems=_CHANGE, takes_if_match=True),
    route("DELETE", "/api/tickets/{ticket_id}", tickets.withdraw, Access.OWNER, "Take a listing down",
          answers={204: None}, problems=_CHANGE, takes_if_match=True),
    route("GET", "/api/tickets/{ticket_id}/history", history.of_ticket, Access.OWNER, "A listing's events",
          query=query_models.PageQuery, answers={200: models.HistoryPage}, admin_reads=True,
          problems=("ticket_not_found", "not_owner", "unavailable")),
    # Collection
    route("POST", "/api/collection", collection.add, Access.SIGNED_IN, "Collect a ticket",
          body=models.NewCollected, answers={201: models.Collected}, takes_key=True,
          problems=("ticket_not_found", "collection_full", *_STORE)),
    route("GET", "/api/collection", collection.read, Access.SIGNED_IN, "My collected tickets",
          query=query_models.PageQuery, answers={200: models.TicketPage}, problems=("unavailable",)),
    route("DELETE", "/api/collection/{ticket_id}", collection.remove, Access.SIGNED_IN, "Drop a collected ticket",
          answers={204: None}, problems=("ticket_not_found", "unavailable")),
    # Orders and payments
    route("POST", "/api/orders", orders.place, Access.SIGNED_IN, "Order tickets: all or nothing, held until paid",
          body=models.NewOrder, answers={201: models.Order}, takes_key=True,
          problems=("ticket_not_found", "sold_out", "too_many_held", "own_ticket", *_STORE)),
    route("GET", "/api/orders", orders.of_buyer, Access.SIGNED_IN, "My orders",
          query=query_models.PageQuery, answers={200: models.OrderPage}, problems=("unavailable",)),
    route("GET", "/api/orders/{order_id}", orders.read, Access.PARTY, "One order",
          query=query_models.OneQuery, answers={200: models.Order, 304: None}, admin_reads=True,
          problems=("order_not_found", "unavailable")),
    route("DELETE", "/api/orders/{order_id}", orders.cancel, Access.PARTY, "Cancel an unpaid order",
          answers={200: models.Order}, problems=("order_not_found", "order_not_open", *_STORE)),
    route("GET", "/api/orders/{order_id}/history", history.of_order, Access.PARTY, "An order's events",
          query=query_models.PageQuery, answers={200: models.HistoryPage}, admin_reads=True,
          problems=("order_not_found", "unavailable")),
    route("POST", "/api/payments", payments.pay, Access.PARTY, "Pay an order",
          body=models.NewPayment, answers={201: models.Payment}, takes_key=True,
          problems=("order_not_found", "order_not_open", "card_declined", "charge_mismatch", "idempotency_in_progress",
                    "payment_unavailable", *_STORE)),
    route("POST", "/api/webhooks/stripe", webhooks.stripe, Access.STRIPE, "Stripe's events",
          answers={200: machine_models.Received}, takes_raw_body=True, is_limited=False,
          problems=("bad_signature", "payment_unavailable", *_STORE)),
    # Machines
    route("GET", "/healthz", health.alive, Access.ANYONE, "Does the process live",
          answers={200: machine_models.Alive}, is_limited=False),
    route("GET", "/readyz", health.ready, Access.ANYONE, "Can orders be taken; how far do the read models lag",
          answers={200: machine_models.Ready}, problems=("unavailable",), is_limited=False),
    route("GET", "/metrics", health.metrics, Access.ANYONE, "For Prometheus", answers={200: None}, is_limited=False),
    route("GET", "/.well-known/jwks.json", health.jwks, Access.ANYONE, "The keys that verify access tokens",
          answers={200: machine_models.JsonWebKeys}),
    route("GET", "/openapi.json", docs.openapi, Access.ANYONE, "This document", answers={200: None}),
    route("GET", "/docs", docs.page, Access.ANYONE, "This document for people", answers={200: None}),
    route("GET", "/docs/{asset}", docs.asset, Access.ANYONE, "What that page is made of", answers={200: None},
          problems=("not_found",)),
)  # fmt: skip
