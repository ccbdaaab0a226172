"""The pages of `stagedoor up`, with its relay, worker, sandbox and webhooks as they run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.e2e.up import Up
from tests.web.shop import CHROMIUM, require_chromium

pytestmark = pytest.mark.long

STOPS_WITHIN_SECONDS = 15.0
"""Less than the time a running request has to end."""


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    require_chromium()
    started = Up(tmp_path / "data", "builtin", STAGEDOOR_API_PROCESSES="2", STAGEDOOR_RATE_LIMIT="on")
    started.start()
    yield started
    started.ensure_ended()


def test_a_fan_buys_while_another_one_looks(up: Up) -> None:
    """On two processes: each window may meet another one with each request. An open stream holds up no stop."""
    ticket = up.list_ticket(up.sign_up("sam"), quantity=3, hold_seconds=60)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        looking = browser.new_page(base_url=up.url)
        looking.goto(f"/tickets/{ticket}")
        expect(looking.locator("[data-left]")).to_have_text("Only 3 left")
        fan = browser.new_page(base_url=up.url)
        fan.goto(f"/signup?next=/tickets/{ticket}?quantity=2")
        fan.fill("#name", "Bea")
        fan.fill("#email", "bea@example.org")
        fan.fill("#password", "battery staple horse")
        fan.click("#account-form button")
        fan.wait_for_url("**/tickets/*")
        fan.click("#order button[type=submit]")
        expect(looking.locator("[data-left]")).to_have_text("Only 1 left")
        fan.click(".test-card label:has-text('3220')", timeout=10_000)
        fan.click(".pay button[type=submit]")
        fan.click("dialog button:has-text('Yes')")
        expect(fan.locator("h1")).to_have_text("Paid. They are yours", timeout=10_000)
        expect(looking.locator("[data-sold]")).to_have_text("2")
        fan.click("text=Show my tickets")
        expect(fan.locator(".qr")).to_have_count(2)
        began = time.monotonic()
        assert up.stop() == 0
        assert time.monotonic() - began < STOPS_WITHIN_SECONDS
        browser.close()
