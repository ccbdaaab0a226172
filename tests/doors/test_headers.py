"""What every answer tells a browser, whoever asks and whatever comes of it: from the route table."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from adapters.settings import Settings
from api import browsers
from api.cors import METHODS
from api.route import Route
from api.routes import ROUTES
from tests.api.conftest import OpenHouse
from tests.api.house import Answer, House, settings_of
from tests.api.test_api_access import ADMIN, ANONYMOUS, OWNER, ask, scene_of
from tests.doors.served import served

SHOP = "https://shop.example.org"
KEPT = {
    *("tickets.of_seller", "tickets.search", "tickets.read", "health.jwks", "bought_tickets.keys"),
    *("docs.openapi", "docs.page", "docs.asset"),
}
"""Public state, the same for everybody: may be kept and is asked for each time. Whatever is not here is private."""


def assert_protected(answer: Answer, *, kept: bool) -> None:
    headers = answer.headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Server"] == "Stagedoor"
    assert not {"X-Powered-By", "Set-Cookie", "Via"} & set(headers)
    assert headers["Cache-Control"] == ("no-cache" if kept else "no-store")
    policy = dict((*part.split(maxsplit=1), "")[:2] for part in headers["Content-Security-Policy"].split("; "))
    for directive in ("default-src", "object-src", "base-uri", "frame-ancestors"):
        assert policy[directive] == "'none'"
    assert "'unsafe-eval'" not in str(policy)
    assert "unsafe-inline" not in policy.get("script-src", "")
    if answer.raw:
        assert re.search(r"json$|charset=utf-8$", headers["Content-Type"]), headers["Content-Type"]


async def test_every_route_whatever_it_answers(house: House) -> None:
    """Success, refusal and, once a session is over, no access."""
    scene = await scene_of(house)
    for route in ROUTES:
        for who in (ANONYMOUS, ADMIN, OWNER):
            answer = await ask(scene, route, who)
            assert_protected(answer, kept=route.name in KEPT and answer.status < 400)


async def test_what_no_handler_answers(house: House) -> None:
    for method, path in (("GET", "//nothing"), ("PUT", "/tickets"), ("OPTIONS", "/tickets"), ("GET", "//docs/x")):
        assert_protected(await house.call(method, path), kept=False)


async def test_what_is_no_http(database_url: str, tmp_path: Path) -> None:
    settings: Settings = settings_of(database_url, tmp_path, stripe_api_base="http://127.0.0.1:9")
    async with served(settings) as house:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(house.url.rpartition(":")[2]))
        writer.write(b"nonsense\r\n\r\n")
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    assert head.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
    assert_protected(Answer(400, headers, body), kept=False)


def test_what_may_be_kept_needs_no_token() -> None:
    kept: list[Route] = [route for route in ROUTES if route.name in KEPT]
    assert len(kept) == len(KEPT)
    assert not any(route.access.needs_token for route in kept)


async def test_a_page_of_another_origin_reads_nothing_of_any_route(open_house: OpenHouse) -> None:
    """Exact origins, never `*`, never with credentials; the origin that may is told, all others are not."""
    async with open_house(cors_origins=(SHOP,)) as house:
        for route in ROUTES:
            path = "/" + re.sub(r"\{\w+\}", "x", route.path)
            for origin in (SHOP, f"{SHOP}.evil.org", "null", "*"):
                headers = (await house.call(route.method, path, headers={"Origin": origin})).headers
                assert headers.get("Access-Control-Allow-Origin") == (SHOP if origin == SHOP else None)
                assert "Access-Control-Allow-Credentials" not in headers
                assert "Origin" in headers["Vary"]
            assert route.method in METHODS


async def test_a_form_of_another_site_changes_nothing(house: House) -> None:
    """What a browser sends without asking first has no token and no JSON: both are refused."""
    scene = await scene_of(house)
    for route in ROUTES:
        if route.body is not None:
            for media in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
                path = "/" + route.path.format(ticket_id=scene.ticket["id"], order_id=scene.order["id"])
                answer = await house.call(
                    route.method, path, raw=b'{"title": "x"}', token=scene.people[OWNER].token,
                    headers={"Content-Type": media},
                )  # fmt: skip
                assert answer.code == "unsupported_media_type", route.path


def test_the_docs_have_nothing_from_elsewhere() -> None:
    page = (Path(browsers.__file__).with_name("docs_assets") / "index.html").read_text()
    assert not re.search(r"(?:src|href)=[\"'](?:https?:)?//", page)
    assert "<script>" not in page
