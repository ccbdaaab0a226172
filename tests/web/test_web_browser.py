"""The pages in a real browser, as people use them."""

from __future__ import annotations

import asyncio
import io
import re
from typing import Any

import pytest
import zxingcpp
from PIL import Image
from playwright.async_api import Page, expect

from adapters.ticket_codes import verified
from api.letter_texts import _FRAGMENTS
from tests.api.house import EVENT, PASSWORD
from tests.web.shop import Shop

LAST = {"title": "The last one", "event": EVENT, "price": {"amount": 4500, "currency": "EUR"}, "quantity": 1}
DECLINED = {
    "0002": "Your bank said no and gave no reason.",
    "9995": "There is not enough money on this card.",
}

FORM = {
    "Event": "The Long Winters",
    "What you sell": "Floor",
    "Venue": "Paradiso",
    "Starts at (your time)": "2030-03-12T20:00",
    "Price of one": "45.00",
    "How many": "3",
}


async def listed(shop: Shop, **more: Any) -> str:
    return str((await shop.house.listing(shop.seller, **(LAST | more)))["id"])


async def test_search_finds_while_one_types(shop: Shop) -> None:
    page = await shop.window()
    await page.goto("/")
    await expect(page.locator(".listing")).to_have_count(24)
    await page.type("#q", "mexico")
    await expect(page.locator("#found")).to_have_text("2 listings")
    assert page.url.endswith("/?q=mexico")
    await expect(page.locator("#announcer")).to_have_text("2 listings")
    await page.click(".listing h2 a")
    await expect(page.locator("h1")).to_contain_text("Mexico")
    await expect(page.locator("#order button[type=submit]")).to_be_visible()


@pytest.mark.long
async def test_two_compete_for_the_last_ticket(shop: Shop) -> None:
    ticket = await listed(shop)
    windows = [await shop.window(name) for name in ("Ann", "Bea")]
    for page in windows:
        await page.goto(f"/tickets/{ticket}")
        await expect(page.locator("[data-left]")).to_have_text("Only 1 left")
    await asyncio.gather(*(page.click("#order button[type=submit]") for page in windows))
    async with asyncio.timeout(10):
        while not (ahead := [page for page in windows if "/orders/" in page.url]):  # noqa: ASYNC110 - theirs to say
            await asyncio.sleep(0.05)
    (winner,) = ahead
    (other,) = (page for page in windows if page is not winner)
    await expect(other.locator("#trouble")).to_contain_text("Somebody was faster")
    # Without reloading: who is still looking sees it taken, and free again.
    await expect(other.locator("[data-left]")).to_have_text("In others’ hands right now")
    await expect(other.locator("#order")).to_be_hidden()
    await winner.click("text=Cancel the order")
    await expect(winner.locator("h1")).to_have_text("You cancelled this order")
    await expect(other.locator("[data-left]")).to_have_text("Only 1 left")
    await other.click("#order button[type=submit]")
    await other.wait_for_selector(".test-cards")
    await shop.pay(other)
    await expect(other.locator("h1")).to_have_text("Paid. They are yours")
    await winner.goto(f"/tickets/{ticket}")
    await expect(winner.locator("[data-left]")).to_have_text("Sold out")


@pytest.mark.long
async def test_the_countdown_runs_out(shop: Shop) -> None:
    ticket = await listed(shop, hold_seconds=8)
    page = await shop.window("Ann")
    await shop.order(page, ticket)
    await expect(page.locator(".clock")).to_have_text(re.compile(r"^00:0[1-8]$"))
    await expect(page.locator("h1")).to_have_text("Time ran out", timeout=30_000)
    await page.click("text=Look at the listing again")
    await expect(page.locator("[data-left]")).to_have_text("Only 1 left")
    await page.goto("/orders")
    await expect(page.locator(".status")).to_have_text("Time ran out")


@pytest.mark.long
async def test_a_clock_that_is_wrong_changes_nothing(shop: Shop) -> None:
    """The countdown goes by the house's clock: a phone that is an hour ahead neither ends it nor lengthens it."""
    page = await shop.window("Ann")
    await page.add_init_script("const now = Date.now; Date.now = () => now() + 3_600_000")
    await shop.order(page, shop.matches[0]["id"])
    await expect(page.locator(".clock")).to_have_text(re.compile(r"^1[45]:\d\d$"))


@pytest.mark.long
async def test_a_declined_card_is_explained_and_another_one_pays(shop: Shop) -> None:
    page = await shop.window("Ann")
    await shop.order(page, shop.matches[0]["id"], 2)
    for card, told in DECLINED.items():
        await shop.pay(page, card)
        await expect(page.locator(".pay [role=alert]")).to_contain_text(told)
        await expect(page.locator(".pay button")).not_to_have_attribute("aria-disabled", "true")
    await shop.pay(page)
    await expect(page.locator("h1")).to_have_text("Paid. They are yours")
    assert await shop.house.charges() == 1


@pytest.mark.long
async def test_the_bank_asks_and_is_told_no_then_yes(shop: Shop) -> None:
    page = await shop.window("Ann")
    await shop.order(page, shop.matches[0]["id"])
    await shop.pay(page, "3220")
    await page.click("dialog button:has-text('No')")
    await expect(page.locator(".pay [role=alert]")).to_contain_text("Your bank was not told that it is you")
    await shop.pay(page, "1629")
    await page.click("dialog button:has-text('Yes')")
    await expect(page.locator(".pay [role=alert]")).to_contain_text("Your bank said no")
    await shop.pay(page, "3220")
    await page.click("dialog button:has-text('Yes')")
    await expect(page.locator("h1")).to_have_text("Paid. They are yours")
    assert await shop.house.charges() == 1


@pytest.mark.long
async def test_a_payment_goes_on_after_the_page_was_left(shop: Shop) -> None:
    """The buyer comes back from the bank's own page, or by the list of orders: paid is paid."""
    page = await shop.window("Ann")
    await shop.order(page, shop.matches[0]["id"])
    await page.reload()
    await page.wait_for_selector(".test-cards")
    await shop.pay(page)
    await expect(page.locator("h1")).to_have_text("Paid. They are yours")
    await page.goto(f"{page.url}?payment_intent=pi_1&redirect_status=succeeded")
    await expect(page.locator("h1")).to_have_text("Paid. They are yours")
    await page.wait_for_url(re.compile(r"/orders/[0-9a-f-]+$"))


@pytest.mark.long
async def test_the_codes_of_tickets_can_be_read_and_verified(shop: Shop) -> None:
    page = await shop.window("Ann", device_scale_factor=2)
    await shop.order(page, shop.matches[0]["id"], 2)
    await shop.pay(page)
    await page.click("text=Show my tickets")
    await expect(page.locator(".ticket")).to_have_count(2)
    public = shop.house.services.ticket_codes.public
    numbers = []
    for way in ("light", "dark"):
        await page.emulate_media(color_scheme=way)
        for one in await page.locator(".qr").all():
            (found,) = zxingcpp.read_barcodes(Image.open(io.BytesIO(await one.screenshot())))
            ticket = verified(found.text, public)
            assert str(ticket.ticket_id) == shop.matches[0]["id"]
            numbers.append(ticket.number)
    assert numbers == [1, 2, 1, 2]
    await page.emulate_media(media="print")
    await expect(page.locator("header.site")).to_be_hidden()
    await expect(page.locator(".qr").first).to_be_visible()


@pytest.mark.long
async def test_who_has_paid_has_the_tickets_also_while_kafka_is_away(shop: Shop) -> None:
    page = await shop.window("Ann")
    await shop.order(page, shop.matches[0]["id"])
    await shop.stop_work()
    await shop.pay(page)
    await expect(page.locator("h1")).to_have_text("Paid. They are yours")
    await page.reload()
    await expect(page.locator("h1")).to_have_text("Paid. They are yours")
    await page.click("text=Show my tickets")
    await expect(page.locator(".qr")).to_have_count(1)


@pytest.mark.long
async def test_by_keyboard_alone(shop: Shop) -> None:
    """From the front page to a paid order without a pointer; the focus can be seen wherever it is."""
    page = await shop.window("Ann")
    await page.goto("/")
    await page.keyboard.press("Tab")
    await expect(page.locator(":focus")).to_have_text("Skip to the content")
    await reach(page, "#q")
    await page.keyboard.type("korea")
    await expect(page.locator("#found")).to_contain_text("listing")
    await reach(page, ".listing h2 a")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/tickets/*")
    await expect(page.locator("#order")).to_be_visible()
    await reach(page, "#quantity")
    await page.keyboard.press("ArrowUp")
    await reach(page, "#order button[type=submit]")
    await page.keyboard.press("Enter")
    await page.wait_for_selector(".test-cards")
    await reach(page, ".test-card input")
    for _ in range(4):
        await page.keyboard.press("ArrowDown")
    await reach(page, ".pay button[type=submit]")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("dialog")
    await reach(page, "dialog button")
    await page.keyboard.press("Enter")
    await expect(page.locator("h1")).to_have_text("Paid. They are yours")
    await expect(page.locator(".summary .items")).to_contain_text("2 ×")


async def reach(page: Page, selector: str, most: int = 60) -> None:
    """Presses Tab until the focus is there; wherever it comes by, it is seen."""
    for _ in range(most):
        if await page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
        await page.keyboard.press("Tab")
        outline = "() => { const s = getComputedStyle(document.activeElement); return s.outlineStyle + s.outlineWidth }"
        assert await page.evaluate(outline) == "solid3px", await page.evaluate("document.activeElement.outerHTML")
    raise AssertionError(f"the focus does not get to {selector}")


async def test_a_name_in_the_header_moves_nothing(shop: Shop) -> None:
    """A script greets after the first paint; whatever the name, and however narrow the window, the rest stays put."""
    page = await shop.window()
    await page.goto("/")
    for width in (320, 390, 660, 770, 1100):
        await page.set_viewport_size({"width": width, "height": 800})
        tops = set()
        for name in ("Sign in", "Ann", "Maximiliane Featherstonehaugh"):
            tops.add(
                await page.evaluate(
                    """(name) => {
                      document.querySelector("#account").textContent = name;
                      return document.querySelector("main").getBoundingClientRect().top;
                    }""",
                    name,
                )
            )
            assert await page.evaluate("document.documentElement.scrollWidth") <= width, (name, width)
        assert len(tops) == 1, (width, tops)


@pytest.mark.long
async def test_without_javascript_listings_are_found_and_read(shop: Shop) -> None:
    page = await shop.window(java_script_enabled=False)
    await page.goto("/")
    await page.fill("#q", "south africa")
    await page.click("#search button[type=submit]")
    await page.click(".listing h2 a")
    await expect(page.locator("h1")).to_contain_text("South Africa")
    await expect(page.locator(".facts")).to_contain_text("UTC")
    await expect(page.locator("#order")).to_be_hidden()
    await page.goto("/?sort=title")
    await page.click("a[rel=next]")
    await expect(page.locator(".listing")).to_have_count(6)


@pytest.mark.long
async def test_counts_stay_true_on_the_front_page(shop: Shop) -> None:
    ticket = await listed(shop, quantity=9, title="Nine of them")
    page = await shop.window()
    await page.goto("/?q=nine")
    await expect(page.locator("[data-left]")).to_have_text("Only 9 left")
    buyer = await shop.house.person("buyer")
    await shop.house.order(buyer, ticket, 4)
    await expect(page.locator("[data-left]")).to_have_text("Only 5 left")
    await page.fill("#q", "of them")
    await page.wait_for_url("**/?q=of+them")
    await shop.house.order(buyer, ticket, 2)
    await expect(page.locator("[data-left]")).to_have_text("Only 3 left")


@pytest.mark.long
async def test_the_heart(shop: Shop) -> None:
    page = await shop.window("Ann")
    await page.goto(f"/tickets/{shop.matches[3]['id']}")
    await page.click("#heart")
    await expect(page.locator("#heart")).to_have_attribute("aria-pressed", "true")
    await expect(page.locator("#heart")).not_to_have_attribute("aria-disabled", "true")
    await page.reload()
    await expect(page.locator("#heart")).to_have_text("Collected")
    await page.click("text=All that you collected")
    await expect(page.locator(".listing h2")).to_have_text(shop.matches[3]["title"])
    await page.click(".listing button")
    await expect(page.locator("#content")).to_contain_text("Nothing collected.")
    await page.goto(f"/tickets/{shop.matches[3]['id']}")
    await page.click("#heart")
    await expect(page.locator("#heart")).not_to_have_attribute("aria-disabled", "true")
    await page.click("#heart")
    await expect(page.locator("#heart")).to_have_text("Collect")


@pytest.mark.long
async def test_no_script_can_reach_the_refresh_token(shop: Shop) -> None:
    page = await shop.window("Ann")
    (cookie,) = await page.context.cookies(f"{shop.house.url}/api/users/refresh")
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    everything = "JSON.stringify([document.cookie, {...localStorage}, {...sessionStorage}])"
    assert cookie["value"].split(".")[1] not in await page.evaluate(everything)


@pytest.mark.long
async def test_tabs_share_a_session_and_its_end(shop: Shop) -> None:
    """A new tab refreshes by the cookie, also many at once; signing out in one signs out in all."""
    page = await shop.window("Ann")
    tabs = [await shop.page(page.context) for _ in range(4)]
    await asyncio.gather(*(tab.goto("/orders") for tab in tabs))
    for tab in tabs:
        await expect(tab.locator("#content")).to_contain_text("You have not ordered anything yet.")
    await page.goto("/account")
    await page.fill("#name", "Ann Marie")
    await page.click("text=Keep this name")
    for tab in (page, *tabs):
        await expect(tab.locator("#account")).to_have_text("Ann Marie")
    await tabs[1].goto("/my-tickets")
    await expect(tabs[1].locator("#content")).to_contain_text("No tickets yet.")
    await page.click("text=Sign out")
    await page.wait_for_url("**/")
    for tab in tabs:
        await expect(tab.locator("#account")).to_have_text("Sign in")
    await tabs[0].goto("/orders")
    await tabs[0].wait_for_url("**/signin?next=%2Forders")


@pytest.mark.long
async def test_signing_in_leads_back_to_where_one_was_and_nowhere_else(shop: Shop) -> None:
    page = await shop.window("Ann")
    email = (await page.evaluate("JSON.parse(sessionStorage['stagedoor.access']).user"))["email"]
    for asked, reached in (
        ("/orders", f"{shop.house.url}/orders"),
        ("https://evil.example/", f"{shop.house.url}/"),
        ("//evil.example/", f"{shop.house.url}/"),
        ("/\\evil.example/", f"{shop.house.url}/"),
        ("javascript:alert(1)", f"{shop.house.url}/"),
    ):
        await page.goto(f"/signin?next={asked}")
        await page.fill("#email", email)
        await page.fill("#password", PASSWORD)
        await page.click("#account-form button")
        await page.wait_for_url(reached)


@pytest.mark.long
async def test_the_links_of_letters(shop: Shop) -> None:
    page = await shop.window("Ann")
    email = (await page.evaluate("JSON.parse(sessionStorage['stagedoor.access']).user"))["email"]
    await page.goto("/#verify=" + await token_of(shop, "verify_email", email))
    await expect(page.locator("h1")).to_have_text("Your address is verified")
    assert "#" not in page.url
    await page.goto("/signin")
    await page.click("text=Forgot your password?")
    await page.fill("#forgot-email", email)
    await page.click("#forgot button")
    await expect(page.locator("[role=status].note")).to_contain_text("a link is on its way")
    await page.goto("/#reset=" + await token_of(shop, "password_reset", email))
    await page.fill("#new-password", "a sentence nobody guesses")
    await page.click("text=Keep this password")
    await expect(page.locator("h1")).to_have_text("Your password is changed")


async def token_of(shop: Shop, purpose: Any, email: str) -> str:
    """What the newest letter of this kind has in its link."""
    outbox = shop.house.services.settings.data_dir / "outbox"
    async with asyncio.timeout(10):
        while True:
            for letter in sorted(outbox.glob("*"), reverse=True):
                text = letter.read_text().replace("=\n", "")
                found = re.search(rf"#{_FRAGMENTS[purpose]}=([\w.-]+)", text)
                if found and email in text:
                    return found[1]
            await asyncio.sleep(0.1)


@pytest.mark.long
async def test_what_sellers_write_is_text_in_every_window(shop: Shop) -> None:
    hostile = """<img src=x onerror="alert(1)"><script>alert(2)</script>"""
    ticket = await listed(shop, title=hostile, event={**EVENT, "name": hostile, "venue": hostile}, quantity=3)
    page = await shop.window(hostile)
    await expect(page.locator("#account")).to_have_text(hostile)
    await shop.order(page, ticket)
    await expect(page.locator(".summary a")).to_have_text(hostile)
    await shop.pay(page)
    await page.click("text=Show my tickets")
    await expect(page.locator(".ticket h2")).to_have_text(hostile)
    await page.goto("/orders")
    await expect(page.locator(".listing h2")).to_have_text(hostile)


@pytest.mark.long
async def test_a_seller_lists_edits_and_withdraws(shop: Shop) -> None:
    page = await shop.window("Sam")
    await page.goto("/sell")
    for label, value in FORM.items():
        await page.get_by_label(label, exact=True).fill(value)
    await page.click("text=List them")
    row = page.locator(".listing.own")
    await expect(row.locator("[data-left]")).to_have_text("Only 3 left")
    ticket = await row.get_attribute("data-ticket")
    assert ticket is not None
    buyer = await shop.house.person("buyer")
    order = (await shop.house.order(buyer, ticket, 2)).body
    await expect(row.locator("[data-held]")).to_have_text("2")
    await row.get_by_role("button", name="Edit").click()
    await row.get_by_label("Price of one").fill("50")
    await row.get_by_text("Keep the changes").click()
    await expect(row.locator(".listing-form [role=alert]")).to_contain_text("Somebody is paying for tickets")
    await shop.house.call("DELETE", f"/orders/{order['id']}", token=buyer.token)
    await row.get_by_text("Keep the changes").click()
    await expect(row.locator("[data-price]")).to_have_text("€50.00")
    await row.get_by_role("button", name="History").click()
    await expect(row.locator(".timeline li span")).to_have_text(
        ["Listed: 3 tickets", "2 tickets held by an order", "2 tickets released again", "Edited"]
    )
    await row.get_by_role("button", name="Withdraw").click()
    await row.get_by_role("button", name="Really withdraw?").click()
    await expect(row.locator("[data-left]")).to_have_text("Withdrawn")
