"""At the door, in a real browser: a code is typed or held before the camera, and lets one person in."""

from __future__ import annotations

import asyncio
import base64
import io
from pathlib import Path
from typing import Any

import pytest
import zxingcpp
from PIL import Image
from playwright.async_api import Page, Route, expect

from tests.api.house import PASSWORD, House, Person
from tests.api.test_api_check_in import tickets_of
from tests.api.test_api_refunds import bought, give_back, some
from tests.web.shop import Shop, opened, require_chromium

pytestmark = pytest.mark.long

DETECTOR = """
window.BarcodeDetector = class {
  static async getSupportedFormats() { return ["qr_code"]; }
  async detect(video) {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    canvas.getContext("2d").drawImage(video, 0, 0);
    return (await readCodes(canvas.toDataURL("image/png"))).map((rawValue) => ({ rawValue }));
  }
};
"""
"""What Chromium has on Android, macOS and ChromeOS, and not here: the same interface, read by ZXing."""


async def sold(house: House, seller: Person, quantity: int = 2) -> tuple[Person, Any, Any]:
    """Buyer, order, and the tickets with their codes."""
    buyer = await house.person("buyer")
    ticket = await house.listing(seller, refund_until="2030-01-01T00:00:00Z")
    order = await bought(house, buyer, (ticket, quantity))
    return buyer, order, await tickets_of(house, buyer, order)


async def door(shop: Shop, gate: str = "", **more: Any) -> Page:
    """The page, opened by the seller."""
    page = await shop.window(**more)
    await page.goto("/signin?next=/check-in")
    await page.fill("#email", shop.seller.email)
    await page.fill("#password", PASSWORD)
    await page.click("#account-form button")
    await expect(page.locator("#code")).to_be_focused()
    await page.fill("#gate", gate)
    return page


async def show(page: Page, code: str) -> None:
    await page.fill("#code", code)
    await page.keyboard.press("Enter")


async def test_a_ticket_is_let_in_once_and_says_when_and_where_before(shop: Shop) -> None:
    buyer, order, (first, second) = await sold(shop.house, shop.seller)
    north, south = await door(shop, "Gate North"), await door(shop, "Gate South")
    await show(north, first["short_code"].lower())
    await expect(north.locator(".verdict.good .said")).to_have_text("Come in")
    await expect(north.locator(".verdict")).to_contain_text("Ticket 1 of 2")
    await expect(north.locator("#code")).to_have_value("")
    await expect(north.locator("#code")).to_be_focused()
    await show(south, first["code"])
    await expect(south.locator(".verdict.bad .said")).to_have_text("Used before")
    await expect(south.locator(".verdict")).to_contain_text("Gate North")
    await expect(south.locator("#announcer")).to_contain_text("Used before")

    # At both at once, one lets in.
    await asyncio.gather(show(north, second["code"]), show(south, second["code"]))
    said = [page.locator(".verdict .said") for page in (north, south)]
    for one in said:
        await expect(one).not_to_have_text("Not checked")
    await expect(north.locator(".timeline li")).to_have_count(2)
    await expect(south.locator(".timeline li")).to_have_count(2)
    assert sorted([await one.inner_text() for one in said]) == ["Come in", "Used before"]
    assert (await shop.house.types(order["id"])).count("CheckInCreated") == 2

    page = await shop.window()
    await page.goto(f"/signin?next=/my-tickets?order={order['id']}")
    await page.fill("#email", buyer.email)
    await page.fill("#password", PASSWORD)
    await page.click("#account-form button")
    await expect(page.locator(".used")).to_have_count(2)
    await expect(page.locator(".used").first).to_contain_text("Gate North")


async def test_what_is_no_good_is_told_from_what_is(shop: Shop) -> None:
    buyer, order, (first, second) = await sold(shop.house, shop.seller)
    page = await door(shop)
    await show(page, "K7QM-4P2X-9DHJ")
    await expect(page.locator(".said")).to_have_text("Not a ticket")
    await give_back(shop.house, buyer, order["id"], some({"id": first["ticket_id"]}, 1))
    await show(page, second["code"])
    await expect(page.locator(".said")).to_have_text("Not good any more")
    # A door for another event of the same seller; nothing was used up by asking there.
    other = await page.locator("#door option").nth(1).inner_text()
    await page.select_option("#door", label=other)
    await show(page, first["code"])
    await expect(page.locator(".said")).to_have_text("For something else")
    await page.select_option("#door", "")
    await show(page, first["code"])
    await expect(page.locator(".said")).to_have_text("Come in")


async def test_an_answer_that_got_lost_is_asked_for_again(shop: Shop) -> None:
    """The ticket was let in and the phone did not hear of it: shown again it is not "used before"."""
    _, order, (first, second) = await sold(shop.house, shop.seller)
    page = await door(shop)

    async def lose(route: Route) -> None:
        await route.fetch()
        await route.abort()

    await page.route("**/api/check-ins", lose, times=1)
    await show(page, first["code"])
    await expect(page.locator(".said")).to_have_text("Not checked")
    await expect(page.locator("#code")).to_have_value(first["code"])
    await page.keyboard.press("Enter")
    await expect(page.locator(".said")).to_have_text("Come in")
    assert (await shop.house.types(order["id"])).count("CheckInCreated") == 1

    # At a door of another name it is another request: it is answered, and by no key of the first.
    await page.route("**/api/check-ins", lose, times=1)
    await show(page, second["code"])
    await expect(page.locator(".said")).to_have_text("Not checked")
    await page.fill("#gate", "Gate B")
    await show(page, second["code"])
    await expect(page.locator(".said")).to_have_text("Used before")


async def test_the_camera_reads_what_the_buyers_phone_shows(house_with_webhooks: House, tmp_path: Path) -> None:
    """One code is held before it: the picture is of the buyer's own page."""
    require_chromium()
    seen = tmp_path / "seen.mjpeg"
    switches = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    async with opened(house_with_webhooks, 1, [*switches, f"--use-file-for-fake-video-capture={seen}"]) as shop:
        ann = await shop.window("Ann", device_scale_factor=2)
        await shop.order(ann, shop.matches[0]["id"])
        await shop.pay(ann)
        await ann.click("text=Show my tickets")
        await expect(ann.locator(".qr")).to_have_count(1)
        seen.write_bytes(held_before_the_camera(await ann.locator(".qr").screenshot()))

        page = await door(shop, "Gate A")
        await page.context.grant_permissions(["camera"])
        await page.expose_function("readCodes", read_codes)
        await page.add_init_script(DETECTOR)
        await page.reload()
        await page.click("text=Scan with the camera")
        await expect(page.locator(".said")).to_have_text("Come in")
        await page.click("text=Stop the camera")
        await expect(page.locator("video")).to_be_hidden()
        await page.click("text=Scan with the camera")
        await expect(page.locator(".said")).to_have_text("Used before")
        await expect(page.locator(".verdict")).to_contain_text("Gate A")


async def test_a_browser_without_a_reader_says_so(shop: Shop) -> None:
    page = await door(shop)
    await expect(page.locator("text=This browser cannot read QR codes")).to_be_visible()
    await expect(page.locator("text=Scan with the camera")).to_be_hidden()


def held_before_the_camera(png: bytes) -> bytes:
    """Some seconds of a phone, as the film that Chromium takes for its camera's."""
    phone = Image.open(io.BytesIO(png)).convert("RGB").resize((400, 400))
    scene = Image.new("RGB", (640, 480), (90, 80, 70))
    scene.paste(phone, (120, 40))
    jpeg = io.BytesIO()
    scene.save(jpeg, "JPEG", quality=90)
    return jpeg.getvalue() * 10


def read_codes(data_url: str) -> list[str]:
    picture = Image.open(io.BytesIO(base64.b64decode(data_url.partition(",")[2])))
    return [found.text for found in zxingcpp.read_barcodes(picture)]
