"""A seller's money in the browser: plots, figures and tables say what the API says, and one gets to Stripe and back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from aiohttp.test_utils import unused_port
from playwright.async_api import Page, expect

from domain.order import Order
from tests.api.house import PASSWORD, House, running_house, settings_of
from tests.api.test_api_payouts import TENTH, paid
from tests.api.test_api_refunds import asked, bought, give_back, some
from tests.web.shop import Shop, opened, require_chromium
from tests.web.test_web_every_page import Album, pictures

PHONE = {"width": 390, "height": 844}
EARLIER = "UPDATE ledger SET at = at - interval '3 days' WHERE type IN ('OrderCompleted', 'TransferCreated')"
SUMS = {
    "tickets": "5", "gross": "€145.00", "refunded": "€25.00", "fees": "€12.00", "net": "€108.00", "paid_out": "€67.50",
    "owed": "€40.50",
}  # fmt: skip

pytestmark = pytest.mark.long


@pytest.fixture
async def shop(database_url: str, sandbox_url: str, tmp_path: Path) -> AsyncIterator[Shop]:
    """A house that keeps a tenth, pays at once, and knows where Stripe is to send sellers back to."""
    require_chromium()
    port = unused_port()
    public_url = f"http://127.0.0.1:{port}"
    settings = settings_of(database_url, tmp_path, stripe_api_base=sandbox_url, terms=TENTH, public_url=public_url)
    async with running_house(settings, port) as house, opened(house, matches=1) as one:
        yield one


async def test_plots_and_figures_are_the_ledgers(shop: Shop, tmp_path: Path) -> None:
    """Two sales, one of them paid out and in part refunded, and a third one in another currency."""
    await _sold(shop)
    page = await _sellers_window(shop)
    money = page.locator("#money")
    await expect(money.locator("[data-account]")).to_contain_text("can be paid. The house keeps 10 % of each sale.")
    for key, said in SUMS.items():
        await expect(money.locator(f"[data-sum={key}]")).to_have_text(said)
    for field, total, bars in (
        ("tickets", "5 tickets", 1), ("gross", "€145.00", 1), ("refunded", "€25.00", 1), ("paid_out", "€67.50", 2)
    ):  # fmt: skip
        plot = money.locator(f"[data-plot={field}]")
        await expect(plot.locator("figcaption")).to_contain_text(total)
        await expect(plot.locator("svg")).to_have_attribute("viewBox", "0 0 30 30")
        await expect(plot.locator(".bar")).to_have_count(bars)
        assert total in str(await plot.get_by_role("img").get_attribute("aria-label"))
    # What came back goes down from the line at 0; 90.00 up and 22.50 down.
    down, up = await _bars(money.locator("[data-plot=paid_out]"), "height"), 24.0
    assert down == pytest.approx([up, 6.0])
    assert await _bars(money.locator("[data-plot=paid_out]"), "y") == pytest.approx([0.0, up])
    assert "least −€22.50" in str(await money.get_by_role("img").nth(3).get_attribute("aria-label"))
    assert await _bars(money.locator("[data-plot=gross]"), "x") == pytest.approx([26.1])
    await money.get_by_text("The same in numbers").click()
    rows = [row.split("\t")[1:] for row in await money.locator("details tbody tr").all_inner_texts()]
    assert rows == [
        ["5", "€145.00", "€0.00", "€14.50", "€130.50", "€90.00"],
        ["0", "€0.00", "€25.00", "−€2.50", "−€22.50", "−€22.50"],
    ]
    listings = await money.locator("table").last.locator("tbody tr").all_inner_texts()
    assert listings == ["Floor\t4\t€100.00\t€25.00\t€67.50", "Balcony\t1\t€45.00\t€0.00\t€40.50"]
    shown, beside = Album(shop, pictures(tmp_path)), Album(shop, tmp_path / "beside")
    await beside.take(page, "money-in-numbers")
    await money.get_by_text("The same in numbers").click()
    await money.evaluate("element => element.scrollIntoView()")
    await shown.take(page, "money")
    await page.set_viewport_size(PHONE)
    assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    await beside.take(page, "phone-money")
    assert shown.violations + beside.violations == []


async def test_another_time_and_another_currency(shop: Shop) -> None:
    await _sold(shop)
    page = await _sellers_window(shop)
    money = page.locator("#money")
    gross = money.locator("[data-plot=gross]")
    for time, steps in (("7 days, by the hour", 168), ("12 months, by the month", 12)):
        await money.get_by_label("Time").select_option(label=time)
        await expect(gross.locator("svg")).to_have_attribute("viewBox", f"0 0 {steps} 30")
        await expect(gross.locator("figcaption")).to_contain_text("€145.00")
    await money.get_by_label("Currency").select_option("JPY")
    await expect(gross.locator("figcaption")).to_contain_text("¥700")
    await expect(money.locator("[data-sum=owed]")).to_have_text("¥630")
    await expect(money.locator("[data-plot=refunded] .bar")).to_have_count(0)
    await shop.house.services.marketplace.appoint(UUID(shop.seller.id), True, asked())
    page = await _sellers_window(shop)
    await expect(page.locator("#money")).to_contain_text("Everybody’s sales")


async def test_who_sold_nothing_gets_an_account_at_stripe(shop: Shop, tmp_path: Path) -> None:
    # So low that the section is not seen unless one is led to it.
    page = await shop.window("Sam", viewport=PHONE)
    await page.goto("/sell")
    money = page.locator("#money")
    await expect(money).to_contain_text("Nothing sold yet")
    await expect(money.locator("svg, select")).to_have_count(0)
    album = Album(shop, tmp_path)
    await album.take(page, "no-money")
    assert album.violations == []
    await money.get_by_role("button", name="Open an account at Stripe").click()
    await page.get_by_role("button", name="Finish").click()
    await page.wait_for_url("**/sell#money")
    await expect(money.locator("[data-account]")).to_contain_text("Your account there can be paid.")
    await expect(money.get_by_role("button")).to_have_count(0)
    await expect(money).to_be_in_viewport()


async def _sold(shop: Shop) -> None:
    """€100.00 and €45.00 three days ago, the first paid out then; €25.00 given back just now; and ¥700."""
    house, seller = shop.house, shop.seller
    buyer = await house.person("buyer")
    floor = await house.listing(seller, title="Floor")
    order = await bought(house, buyer, (floor, 4))
    await bought(house, buyer, (await _listed(house, seller, "Balcony", 4_500, "EUR"), 1))
    await bought(house, buyer, (await _listed(house, seller, "Tokyo", 700, "JPY"), 1))
    await paid(house, seller, order["id"])
    assert (await give_back(house, seller, order["id"], some(floor, 1))).status == 200
    after: Order = await house.services.marketplace.look(UUID(order["id"]), asked())
    for reversal in after.reversals:
        await house.services.marketplace.note_reversal(after.id, reversal.number, "trr_1", asked())
    await house.project()
    async with house.services.pool.connection() as connection:
        await connection.execute(EARLIER)


async def _listed(house: House, seller: Any, title: str, amount: int, currency: str) -> Any:
    return await house.listing(seller, title=title, price={"amount": amount, "currency": currency})


async def _sellers_window(shop: Shop) -> Page:
    page = await shop.window()
    await page.goto("/signin?next=/sell")
    await page.fill("#email", shop.seller.email)
    await page.fill("#password", PASSWORD)
    await page.click("#account-form button")
    await expect(page.locator("#money .plots")).to_be_visible()
    return page


async def _bars(plot: Any, attribute: str) -> list[float]:
    return [float(value) for value in await plot.locator(".bar").evaluate_all(
        "(bars, name) => bars.map((bar) => bar.getAttribute(name))", attribute
    )]  # fmt: skip
