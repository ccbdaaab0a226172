"""`stagedoor up`, as somebody new meets it: listed, found, bought, shown and checked in within two minutes.

By mouse and by keyboard, at the pace of a person who has to look for what comes next.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.e2e.up import Up
from tests.web.shop import CHROMIUM, WIDE, require_chromium

pytestmark = pytest.mark.long

MOST_SECONDS = 120.0
LOOKS_SECONDS = 0.8
"""Before each thing that is done: to see what is there, and to get there by hand."""
KEY_MS = 90
"""Eleven keys a second: somebody who types well."""
TAB_SECONDS = 0.12
MOST_TABS = 60


class Person:
    """Somebody with a window."""

    def __init__(self, browser: Browser, url: str, way: str) -> None:
        self.page = browser.new_page(base_url=url, viewport=WIDE)
        self.page.set_default_timeout(15_000)
        self.way = way
        self.did = 0

    def press(self, what: str) -> None:
        """A link, a button, or a choice."""
        self._reach(what)
        if self.way == "keyboard":
            is_choice = self.page.locator(what).first.get_attribute("type") == "radio"
            self.page.keyboard.press("Space" if is_choice else "Enter")

    def write(self, where: str, text: str) -> None:
        self._reach(where)
        self.page.keyboard.press("ControlOrMeta+A")
        self.page.keyboard.type(text, delay=KEY_MS)

    def write_time(self, where: str) -> None:
        """12 March 2030, 8 in the evening: part by part, as the browser's own field wants it."""
        self._reach(where)
        if self.way == "mouse":  # Clicked in its middle, it may be any of its parts.
            self.page.locator(where).first.click(position={"x": 16, "y": 22})
        self.page.keyboard.type("03122030", delay=KEY_MS)
        self.page.keyboard.press("ArrowRight")
        self.page.keyboard.type("0800PM", delay=KEY_MS)

    def _reach(self, what: str) -> None:
        self.did += 1
        target = self.page.locator(what).first
        target.wait_for(state="visible")
        time.sleep(LOOKS_SECONDS)
        if self.way == "mouse":
            target.click()
            return
        for _ in range(MOST_TABS):
            if self.page.evaluate("what => document.activeElement === what", target.element_handle()):
                return
            self.page.keyboard.press("Tab")
            time.sleep(TAB_SECONDS)
        pytest.fail(f"{what} is not reached by Tab")

    def sign_up(self, name: str) -> None:
        self.write("#name", name)
        self.write("#email", f"{name.lower()}.{self.way}@example.org")
        self.write("#password", "battery staple horse")
        self.press("#account-form button")


def sell(sam: Person) -> None:
    sam.page.goto("/")
    sam.press("header a[href='/sell']")
    sam.press("main a:has-text('Open an account')")
    sam.sign_up("Sam")
    for field, text in (("event", "The Long Winters"), ("title", f"Floor, {sam.way}"), ("venue", "Paradiso")):
        sam.write(f"input[name={field}]", text)
    sam.write_time("input[name=starts_at]")
    sam.write("input[name=price]", "45")
    sam.write("input[name=quantity]", "2")
    sam.press(".listing-form button[type=submit]")
    expect(sam.page.locator(".listing.own")).to_have_count(1)


def buy(bea: Person) -> str:
    """The short code of the ticket."""
    bea.page.goto("/")
    bea.write("#q", f"winters {bea.way}")
    expect(bea.page.locator("#found")).to_have_text("1 listing")
    bea.press(".listing h2 a")
    bea.press("#order button[type=submit]")
    bea.press("main a:has-text('Open an account')")
    bea.sign_up("Bea")
    bea.press("#order button[type=submit]")
    bea.press(".test-card input")
    bea.press(".pay button[type=submit]")
    bea.press("a:has-text('Show my tickets')")
    expect(bea.page.locator(".qr")).to_have_count(1)
    return bea.page.locator(".short-code").inner_text()


def let_in(sam: Person, code: str) -> None:
    sam.press("a[href='/check-in']")
    sam.write("#code", code)
    sam.press("form button[type=submit]")
    expect(sam.page.locator(".said")).to_have_text("Come in")


@pytest.mark.parametrize("way", ["mouse", "keyboard"])
def test_listed_found_bought_shown_and_checked_in(tmp_path: Path, way: str) -> None:
    require_chromium()
    up = Up(tmp_path / "data", "builtin")
    up.start()
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            sam, bea = (Person(browser, up.url, way) for _ in range(2))
            began = time.monotonic()
            sell(sam)
            code = buy(bea)
            let_in(sam, code)
            took = time.monotonic() - began
            browser.close()
        assert took < MOST_SECONDS, f"{took:.0f} s for {sam.did + bea.did} things"
    finally:
        up.ensure_ended()
