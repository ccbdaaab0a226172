"""What the server renders: it can be read without any script, nothing in it is unescaped, and it is light."""

from __future__ import annotations

import gzip
import hashlib
import re
from html.parser import HTMLParser
from importlib.resources import files
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from api.page_routes import PAGES
from api.route import Access
from domain.money import MINOR_UNITS
from tests.api.conftest import OpenHouse
from tests.api.house import EVENT, Answer, House
from web import static_files
from web.rendering import money

MAX_PAGE_BYTES = 100_000
"""Of a page with all it is made of, compressed."""

HOSTILE = """<script>alert(1)</script>"'><img src=x onerror=alert(1)>"""


class Tags(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.text += data


async def shown(house: House, path: str, **headers: str) -> Answer:
    return await house.call("GET", f"/{path}", headers=headers)


def tags(answer: Answer) -> Tags:
    return Tags(answer.raw.decode())


async def listed(house: House, **more: Any) -> Any:
    ticket = await house.listing(await house.person("seller"), **more)
    await house.project()
    return ticket


def path_of(path: str, ticket_id: str) -> str:
    values = {"ticket_id": ticket_id, "order_id": str(uuid4()), "version": static_files.version(), "asset": "site.js"}
    return path.format(**values)


async def test_listings_can_be_read_without_any_script(house: House) -> None:
    ticket = await listed(house, title="Floor, standing", description="Two lines\nof text", quantity=5)
    front = tags(await shown(house, "/?q=floor"))
    assert {"Floor, standing", "€25.00", "Only 5 left"} <= set(map(str.strip, re.split(r"[\n]+", front.text)))
    assert ("a", {"href": f"/tickets/{ticket['id']}"}) in front.tags
    assert "Two lines\nof text" in tags(await shown(house, f"/tickets/{ticket['id']}")).text
    assert "Nothing fits" in tags(await shown(house, "/?q=elsewhere")).text


async def test_what_sellers_write_is_text_and_nothing_else(house: House) -> None:
    event = {**EVENT, "name": HOSTILE, "venue": HOSTILE, "promoter": HOSTILE, "category": HOSTILE}
    ticket = await listed(house, title=HOSTILE, event=event, description=HOSTILE)
    for path in ("/", f"/tickets/{ticket['id']}", f"/?q={HOSTILE}&category={HOSTILE}"):
        page = tags(await shown(house, path))
        assert not [tag for tag, _ in page.tags if tag == "img"], path
        assert all(attributes.get("src", "").startswith("/assets/") for tag, attributes in page.tags if tag == "script")
    assert HOSTILE in tags(await shown(house, f"/tickets/{ticket['id']}")).text


async def test_every_filter_of_the_form(house: House) -> None:
    await listed(house, title="Cheap", price={"amount": 1000, "currency": "EUR"})
    await listed(house, title="Dear", price={"amount": 9000, "currency": "USD"}, event={**EVENT, "category": "opera"})
    found = {
        query: re.findall(r'/tickets/[0-9a-f-]+">([^<]+)', (await shown(house, f"/?{query}")).raw.decode())
        for query in (
            *("max_price=10", "min_price=10.01", "currency=usd", "category=Opera", "venue=at%26t+stadium"),
            *("from=2030-07-14", "from=2030-07-15", "to=2030-07-14", "to=2030-07-13", "available=true"),
            *("sort=price", "sort=-price", "q=&category=&utm_source=x&sort=nonsense"),
        )
    }
    both = ["Cheap", "Dear"]
    assert found["max_price=10"] == ["Cheap"]
    assert found["min_price=10.01"] == found["currency=usd"] == found["category=Opera"] == ["Dear"]
    assert found["from=2030-07-15"] == found["to=2030-07-13"] == []
    for query in ("venue=at%26t+stadium", "from=2030-07-14", "to=2030-07-14", "available=true", "sort=price"):
        assert sorted(found[query]) == both, query
    assert found["sort=-price"] == both[::-1]
    assert sorted(found["q=&category=&utm_source=x&sort=nonsense"]) == both


@pytest.mark.parametrize(
    "query", ["from=soon", "from=0001-01-01", "max_price=much", "min_price=1.234", "max_price=1e9", "currency=XXX",
              "cursor=rubbish", "max_price=-1", "max_price=nan"],
)  # fmt: skip
async def test_what_cannot_be_understood_is_said(house: House, query: str) -> None:
    answer = await shown(house, f"/?{query}")
    assert answer.status == 422
    assert 'role="alert"' in answer.raw.decode()


async def test_more_listings_are_a_link_away(house: House) -> None:
    seller = await house.person("seller")
    for number in range(25):
        await house.listing(seller, title=f"Row {number:02}")
    await house.project()
    first = tags(await shown(house, "/?sort=title&q=row"))
    (following,) = [attributes["href"] for _, attributes in first.tags if attributes.get("rel") == "next"]
    assert following is not None
    second = await shown(house, following)
    assert re.findall(r">(Row \d+)<", second.raw.decode()) == ["Row 24"]


async def test_what_is_not_there_is_a_page_too(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (f"/tickets/{uuid4()}", "/tickets/x", "/orders/x", f"/assets/{static_files.version()}/nothing.js"):
        answer = await shown(house, path)
        assert (answer.status, answer.headers["Content-Type"]) == (404, "text/html; charset=utf-8"), path
        assert answer.headers["Cache-Control"] == "no-store"

    browser = await shown(house, "/nothing", Accept="text/html,*/*;q=0.8")
    assert (browser.status, browser.headers["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert (await shown(house, "/nothing")).code == "not_found"

    async def away(*_: object) -> None:
        raise psycopg.OperationalError("the server closed the connection: secret")

    monkeypatch.setattr(house.services.pages, "read", away)
    busy = await shown(house, "/")
    assert (busy.status, busy.headers["Retry-After"]) == (503, "2")
    assert b"secret" not in busy.raw


def test_every_page_is_for_anyone() -> None:
    assert all((page.method, page.access, page.is_page) == ("GET", Access.ANYONE, True) for page in PAGES)


async def test_every_page_runs_nothing_that_is_not_ours(house: House) -> None:
    ticket = await listed(house)
    for page in PAGES:
        path = path_of(page.path, ticket["id"])
        answer = await shown(house, path)
        assert answer.status == 200, path
        if not answer.headers["Content-Type"].startswith("text/html"):
            continue
        policy = answer.headers["Content-Security-Policy"]
        assert "unsafe" not in policy, path
        assert "default-src 'none'" in policy, path
        assert "frame-ancestors 'none'" in policy, path
        for tag, attributes in tags(answer).tags:
            assert tag != "style", path
            assert "style" not in attributes, path
            assert not [name for name in attributes if name.startswith("on")], path
            if tag == "script":
                assert attributes["src"], path


async def test_only_the_page_where_one_pays_reaches_beyond_the_house(open_house: OpenHouse) -> None:
    async with open_house(stripe_publishable_key="pk_live_1") as house:
        pays = await shown(house, f"/orders/{uuid4()}")
        assert "https://js.stripe.com" in pays.headers["Content-Security-Policy"]
        assert b'content="https://js.stripe.com/v3/" data-key="pk_live_1" data-test=""' in pays.raw
        assert "stripe" not in (await shown(house, "/orders")).headers["Content-Security-Policy"]
    async with open_house() as house:
        pays = await shown(house, f"/orders/{uuid4()}")
        base = house.services.settings.stripe_api_base
        assert f"script-src 'self' {base};" in pays.headers["Content-Security-Policy"]
        assert f'content="{base}/v3/"' in pays.raw.decode()


async def test_pages_are_light(house: House) -> None:
    """With everything a page loads by itself: what its modules import is followed."""
    ticket = await listed(house)
    for page in PAGES:
        if page.media != "text/html" or "asset" in page.path or page.path.endswith(".ics"):
            continue
        answer = await shown(house, path_of(page.path, ticket["id"]), **{"Accept-Encoding": "gzip"})
        wanted = set(re.findall(r"/assets/\w+/([\w.]+)", answer.raw.decode()))
        for name in list(wanted):
            wanted |= imported(name)
        weight = len(gzip.compress(answer.raw)) + sum(len(static_files.static_files()[name].gzipped) for name in wanted)
        assert weight < MAX_PAGE_BYTES, (page.path, weight)


def imported(name: str) -> set[str]:
    """The modules that one needs, itself too."""
    text = static_files.static_files()[name].body.decode()
    found = set(re.findall(r'(?:from|import)\s*\(?"\./([\w.]+)"', text))
    return {name, *found, *(deeper for one in found for deeper in imported(one))}


async def test_files_are_kept_for_a_year_under_their_version_alone(house: House) -> None:
    url = static_files.url_of("site.js")
    file = static_files.static_files()["site.js"]
    kept = await shown(house, url)
    assert kept.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert (kept.raw, kept.headers["Content-Type"]) == (file.body, "text/javascript; charset=utf-8")
    assert kept.headers["Content-Encoding"] == "gzip"
    plain = await shown(house, url, **{"Accept-Encoding": "identity"})
    assert (plain.raw, "Content-Encoding" in plain.headers) == (file.body, False)
    other = await shown(house, url.replace(static_files.version(), "0" * 12))
    assert (other.raw, other.headers["Cache-Control"]) == (file.body, "no-cache")


async def test_a_page_is_compressed_for_who_unpacks_it(house: House) -> None:
    assert (await shown(house, "/signup", **{"Accept-Encoding": "gzip"})).headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in (await shown(house, "/signup", **{"Accept-Encoding": "identity"})).headers


async def test_the_event_for_a_calendar(house: House) -> None:
    event = {**EVENT, "name": "Fall, winter; and\\spring " + "é" * 60, "venue": "Paradiso"}
    ticket = await listed(house, event=event)
    answer = await shown(house, f"/tickets/{ticket['id']}/event.ics")
    assert answer.headers["Content-Type"] == "text/calendar; charset=utf-8"
    assert all(len(line) <= 75 for line in answer.raw.split(b"\r\n"))
    unfolded = answer.raw.replace(b"\r\n ", b"").decode()
    assert "DTSTART:20300714T190000Z\r\n" in unfolded
    assert f"SUMMARY:Fall\\, winter\\; and\\\\spring {'é' * 60}\r\n" in unfolded


def test_what_is_not_ours_is_unchanged() -> None:
    folder = files("web").joinpath("static")
    for line in folder.joinpath("SHA256SUMS.txt").read_text().splitlines():
        digest, name = line.split()
        assert hashlib.sha256(folder.joinpath(name).read_bytes()).hexdigest() == digest, name


def test_scripts_know_the_places_of_every_currency() -> None:
    text = files("web").joinpath("static", "words.js").read_text()
    for places, name in ((0, "NO_PLACES"), (3, "THREE_PLACES")):
        (codes,) = re.findall(rf'const {name} = "([A-Z ]+)"', text)
        assert set(codes.split()) == {code for code, digits in MINOR_UNITS.items() if digits == places}


@pytest.mark.parametrize(
    ("amount", "currency", "said"),
    [(4500, "EUR", "€45.00"), (500, "JPY", "¥500"), (125000, "CHF", "CHF\u00a01,250.00"), (0, "USD", "free")],
)
def test_prices_in_words(amount: int, currency: str, said: str) -> None:
    class Price:
        pass

    price: Any = Price()
    price.amount, price.currency = amount, currency
    assert money(price) == said
