"""A house as people meet it: with the demo's listings, and what relay and worker do done in the test's own loop."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from playwright import sync_api
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

from adapters.tasks import end
from data import world_cup
from streams.deadlines import Deadlines
from tests.api.house import PASSWORD, House, Person

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
"""Debian's; the browsers that Playwright would download are not needed."""


def require_chromium() -> None:
    """CI has it and fails without it; a developer's machine may lack it."""
    if CHROMIUM is None:
        if os.environ.get("CI"):
            pytest.fail("Chromium is required where CI runs")
        pytest.skip("there is no Chromium here: apt-get install chromium")


PATIENCE_MS = 20_000
"""For what a page is to show, on a machine that is busy with other things."""

for one in (expect, sync_api.expect):
    one.set_options(timeout=PATIENCE_MS)

WIDE = {"width": 1100, "height": 860}
TURN_SECONDS = 0.1


@dataclass
class Shop:
    """A house, its seller, and a browser in front of it. `complaints`: what went wrong in any window."""

    house: House
    browser: Browser
    seller: Person
    matches: list[Any]
    working: asyncio.Task[None]
    complaints: list[str] = field(default_factory=list)

    async def stop_work(self) -> None:
        """As if Kafka were away: no read model follows any more."""
        await end(self.working)

    async def window(self, name: str | None = None, **more: Any) -> Page:
        """A window of a browser of its own; of somebody who has just signed up, if there is a name."""
        context = await self.browser.new_context(**{"viewport": WIDE, "base_url": self.house.url} | more)
        context.set_default_timeout(PATIENCE_MS)
        page = await self.page(context)
        if name is not None:
            await page.goto("/signup")
            await page.fill("#name", name)
            await page.fill("#email", f"person.{len(self.browser.contexts)}@example.org")
            await page.fill("#password", PASSWORD)
            await page.click("#account-form button")
            await page.wait_for_url("**/")
        return page

    async def page(self, context: BrowserContext) -> Page:
        """A tab, whose complaints are heard."""
        page = await context.new_page()
        page.on("pageerror", lambda error: self.complaints.append(f"{page.url}: {error}"))
        page.on("dialog", lambda dialog: self.complaints.append(f"{page.url}: dialog {dialog.message}"))
        page.on("console", lambda message: self._heard(page, message.type, message.text))
        return page

    def _heard(self, page: Page, kind: str, text: str) -> None:
        # A refusal of the API is shown to the person; the browser writes it down all the same.
        if kind in ("error", "warning") and not text.startswith("Failed to load resource"):
            self.complaints.append(f"{page.url}: {text}")

    async def order(self, page: Page, ticket_id: str, quantity: int = 1) -> None:
        """Orders in that window, up to the page where one pays."""
        await page.goto(f"/tickets/{ticket_id}?quantity={quantity}")
        await page.click("#order button[type=submit]")
        await page.wait_for_url("**/orders/*")
        await page.wait_for_selector(".test-cards")

    async def pay(self, page: Page, card: str = "4242") -> None:
        """Chooses a card and pays."""
        await page.click(f".test-card label:has-text('{card}')")
        await page.click(".pay button[type=submit]")


@asynccontextmanager
async def opened(house: House, matches: int = 30, switches: Sequence[str] = ()) -> AsyncIterator[Shop]:
    """A shop with so many of the demo's matches; `switches` are Chromium's."""
    seller = await house.person("seller")
    bodies = world_cup.listings(datetime.now(UTC))[:matches]
    listed = [await house.listing(seller, **body) for body in bodies]
    working = asyncio.create_task(_work(house))
    try:
        await house.project()
        async with async_playwright() as playwright:
            assert CHROMIUM is not None
            # As root, as in a container, Chromium has no sandbox of its own; it meets nothing but our pages.
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *switches])
            shop = Shop(house, browser, seller, listed, working)
            yield shop
            await browser.close()
        assert shop.complaints == []
    finally:
        await end(working)


async def _work(house: House) -> None:
    """What relay and worker do: the read models follow, and orders past their deadline end."""
    deadlines = Deadlines(house.services.queries, house.services.marketplace)
    while True:
        await house.project()
        await deadlines.tick()
        await asyncio.sleep(TURN_SECONDS)
