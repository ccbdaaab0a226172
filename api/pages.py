"""The pages. Listings are rendered here and can be read without any script; what is a person's own is fetched by the
page's script over the API, so that no page has anything private in it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from math import ceil

import msgspec
from aiohttp import hdrs, web

from adapters.settings import Settings
from api import models, reads
from api.calendar_file import calendar_file
from api.calls import Call
from api.page_answers import STRIPE_SCRIPT, card_form_policy, page, sandbox_of, takes_gzip
from api.page_question import SORTS, NotUnderstood, Question
from api.pieces import in_pieces
from api.problems import Refused
from projections.queries import BadCursor
from web import static_files
from web.rendering import render

FOR_A_YEAR = "public, max-age=31536000, immutable"
"""Of what has its version in its address."""

FRONT_PAGES = 64
"""Front pages that are kept as rendered, some 40 KB each with what they were made of."""

NOTHING_FOUND = msgspec.json.encode(models.TicketPage([], None))

_decode_page = msgspec.json.Decoder(models.TicketPage).decode


async def front(call: Call) -> web.Response:
    """GET /: search, filters, and the listings found. What cannot be understood is said above all of them."""
    question, problem, found = Question.read(call.request.query), "", NOTHING_FOUND
    try:
        answered = await call.services.pages.read(question.search(datetime.now(UTC)))
        assert answered is not None, "a page that has nothing on it is a page"
        found = answered.body
    except NotUnderstood as error:
        problem = str(error)
    except BadCursor:
        problem = "This link to further listings is not good any more; search again."
    body = _front_page(question, problem, found)
    return page(call.request, body, status=web.HTTPUnprocessableEntity.status_code if problem else 200)


@lru_cache(maxsize=FRONT_PAGES)
def _front_page(question: Question, problem: str, found: bytes) -> bytes:
    """Rendered once for as long as nothing on it has changed: everybody begins with this page, and it takes a
    millisecond, the look into the read model less."""
    shown = _decode_page(found)
    events = [one.event for one in shown.items]
    return render(
        "front.html",
        here="browse",
        question=question,
        problem=problem,
        page=shown,
        sorts=SORTS,
        categories=sorted({event.category for event in events if event.category}),
        venues=sorted({event.venue for event in events}),
    )


async def listing(call: Call) -> web.Response:
    """GET /tickets/{ticket_id}"""
    one = await reads.ticket(call.services, call.path_id("ticket_id"))
    hold_seconds = one.hold_seconds or call.services.settings.hold_seconds
    return page(call.request, render("listing.html", here="browse", one=one, hold=_duration(hold_seconds)))


async def event_file(call: Call) -> web.Response:
    """GET /tickets/{ticket_id}/event.ics: the event for a calendar."""
    one = await reads.ticket(call.services, call.path_id("ticket_id"))
    return web.Response(
        body=calendar_file(one, call.services.settings.public_url),
        headers={
            hdrs.CONTENT_TYPE: "text/calendar; charset=utf-8",
            hdrs.CONTENT_DISPOSITION: 'attachment; filename="event.ics"',
        },
    )


async def sign_in(call: Call) -> web.Response:
    """GET /signin"""
    return page(call.request, render("account.html", here="account", mode="signin"))


async def sign_up(call: Call) -> web.Response:
    """GET /signup"""
    return page(call.request, render("account.html", here="account", mode="signup"))


async def profile(call: Call) -> web.Response:
    """GET /account: name, address, password, signing out."""
    return page(call.request, render("profile.html", here="account"))


async def orders(call: Call) -> web.Response:
    """GET /orders: the frame of one's orders."""
    return page(call.request, render("orders.html", here="orders"))


async def order(call: Call) -> web.Response:
    """GET /orders/{order_id}: the frame of one order and its payment. Whose it is, the API says."""
    call.path_id("order_id")
    settings = call.services.settings
    body = render("order.html", here="orders", card_form=_card_form(settings))
    policy = card_form_policy(sandbox_of(settings))
    return page(call.request, body, policy=policy)


async def my_tickets(call: Call) -> web.Response:
    """GET /my-tickets: the frame of the tickets one has bought."""
    return page(call.request, render("my-tickets.html", here="my-tickets"))


async def collection(call: Call) -> web.Response:
    """GET /collection: the frame of the listings one has collected."""
    return page(call.request, render("collection.html", here=""))


async def sell(call: Call) -> web.Response:
    """GET /sell: the frame of one's own listings."""
    return page(call.request, render("sell.html", here="sell"))


async def check_in(call: Call) -> web.Response:
    """GET /check-in: the frame of a door."""
    return page(call.request, render("check-in.html", here="check-in"))


async def board(call: Call) -> web.Response:
    """GET /board: how the house is doing, for who looks after it; it shows what `/readyz` says to anybody."""
    return page(call.request, render("board.html", here=""))


async def asset(call: Call) -> web.Response:
    """GET /assets/{version}/{asset}: that of another version is answered as it is now, and not to be kept."""
    found = static_files.static_files().get(call.request.match_info["asset"])
    if found is None:
        raise Refused("not_found", "no page has such a part")
    is_current = call.request.match_info["version"] == static_files.version()
    packed = takes_gzip(call.request) and len(found.gzipped) < len(found.body)
    headers = {
        hdrs.CONTENT_TYPE: found.media_type,
        hdrs.CACHE_CONTROL: FOR_A_YEAR if is_current else "no-cache",
        hdrs.VARY: hdrs.ACCEPT_ENCODING,
    }
    if packed:
        headers[hdrs.CONTENT_ENCODING] = "gzip"
    return web.Response(body=in_pieces(found.gzipped if packed else found.body), headers=headers)


@dataclass(frozen=True, slots=True)
class _CardForm:
    """Where the card form's script is and the key it gets; without a script cards cannot be taken."""

    script: str
    key: str
    is_test: bool


def _card_form(settings: Settings) -> _CardForm:
    sandbox = sandbox_of(settings)
    if settings.stripe_publishable_key:
        key = settings.stripe_publishable_key
        return _CardForm(STRIPE_SCRIPT, key, is_test=key.startswith("pk_test_"))
    if sandbox is not None:
        return _CardForm(f"{sandbox.rstrip('/')}/v3/", "pk_test_sandbox", is_test=True)
    return _CardForm("", "", is_test=False)


def _duration(seconds: int) -> str:
    """`15 minutes`, `2 hours`, `40 seconds`."""
    for unit, size in (("hour", 3600), ("minute", 60)):
        if seconds >= 2 * size or seconds == size:
            number = ceil(seconds / size)
            return f"{number} {unit}{'' if number == 1 else 's'}"
    return f"{seconds} seconds"
