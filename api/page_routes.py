"""Every page there is. They are for people and no part of the API's description; what they do, they do over the API.

None of them looks at a token or has anything private in it, so all of them are for anyone.
"""

from __future__ import annotations

from typing import Any

from api import pages
from api.route import Access, Handler, Route


def _page(path: str, handler: Handler, summary: str, **more: Any) -> Route:
    return Route(
        method="GET", path=path, handler=handler, access=Access.ANYONE, summary=summary, answers={200: None},
        media="text/html", is_page=True, **more,
    )  # fmt: skip


PAGES: tuple[Route, ...] = (
    _page("/", pages.front, "Search, and the listings found"),
    _page("/tickets/{ticket_id}", pages.listing, "One listing"),
    _page("/tickets/{ticket_id}/event.ics", pages.event_file, "Its event for a calendar"),
    _page("/signin", pages.sign_in, "Sign in"),
    _page("/signup", pages.sign_up, "Open an account"),
    _page("/account", pages.profile, "My account"),
    _page("/orders", pages.orders, "My orders"),
    _page("/orders/{order_id}", pages.order, "One order, and its payment"),
    _page("/my-tickets", pages.my_tickets, "The tickets I have bought"),
    _page("/collection", pages.collection, "The listings I have collected"),
    _page("/sell", pages.sell, "My listings"),
    _page("/check-in", pages.check_in, "At the door"),
    _page("/board", pages.board, "How the house is doing"),
    _page("/assets/{version}/{asset}", pages.asset, "What pages are made of"),
)
