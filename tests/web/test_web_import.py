"""A CSV file in the browser: bad lines are shown before anything is listed, and a file that comes twice lists once."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

import web
from cli.import_csv import COLUMNS
from tests.web.shop import Shop

CSV = """title,event_name,starts_at,venue,promoter,category,amount,currency,quantity,description,hold_seconds
"Floor, standing",The Long Winters,2030-03-12T20:00:00+01:00,Paradiso,,concert,4500,EUR,120,"Doors at 19:00
Bar inside",
Balcony,The Long Winters,2030-03-12T20:00:00+01:00,Paradiso,,concert,6500,EUR,40,,600
Balcony,The Long Winters,2030-03-12T20:00:00+01:00,Paradiso,,concert,65.00,EUR,40,,
Stalls,The Long Winters,12 March 2030,Paradiso,,concert,5500,euro,,,
too,few,cells
Balcony,The Long Winters,2030-03-12T20:00:00+01:00,Paradiso,,concert,6500,EUR,40,,600
"The ""Box\""",The Long Winters,2030-03-12T20:00:00+01:00,Paradiso,Mojo,concert,9500,EUR,4,,
"""

pytestmark = pytest.mark.long


async def chosen(page: Page, text: str) -> None:
    await page.set_input_files("#csv", {"name": "rows.csv", "mimeType": "text/csv", "buffer": text.encode()})


async def listings(shop: Shop, page: Page) -> list[Any]:
    user = (await page.evaluate("JSON.parse(sessionStorage['stagedoor.access']).user"))["id"]
    items: list[Any] = (await shop.house.call("GET", f"/users/{user}/tickets?limit=100")).body["items"]
    return items


async def test_good_lines_are_listed_once_and_bad_ones_shown(shop: Shop) -> None:
    page = await shop.window("Sam")
    for listed in (0, 4):
        await page.goto("/sell")
        await page.click("summary:has-text('Import')")
        await chosen(page, CSV)
        await expect(page.locator("caption")).to_have_text("7 lines, 3 with something wrong, which are left out")
        wrong = await page.locator("tr.bad").all_inner_texts()
        assert [line.split("\t")[0] for line in wrong] == ["5", "6", "7"]
        assert "“65.00” is no whole number of minor units (12.50 is 1250)" in wrong[0]
        for told in ("quantity is empty", "“12 March 2030” is no time", "“euro” is no code"):
            assert told in wrong[1]
        assert "3 cells, but 11 columns" in wrong[2]
        assert len(await listings(shop, page)) == listed
        await page.click("text=List 4 listings")
        await expect(page.locator("[role=status].note")).to_have_text("4 lines listed.")
        await expect(page.locator(".listing.own")).to_have_count(4)
    found = {one["title"]: one for one in await listings(shop, page)}
    assert set(found) == {"Floor, standing", "Balcony", 'The "Box"'}
    assert found["Floor, standing"]["description"] == "Doors at 19:00\nBar inside"
    assert (found["Balcony"]["price"]["amount"], found["Balcony"]["hold_seconds"]) == (6500, 600)
    assert found['The "Box"']["event"]["promoter"] == "Mojo"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "The file is empty"),
        ("title,colour\nx,y\n", "Unknown columns: colour."),
        ("title,venue\nx,y\n", "Missing columns: event_name, starts_at, amount, currency, quantity."),
        (CSV.splitlines()[0] + ",title\n", "A column is there twice."),
        (CSV.splitlines()[0] + "\n" + "a,b\n" * 2_001, "More than 2000 lines"),
    ],
    ids=["empty", "unknown", "missing", "twice", "long"],
)
async def test_a_file_that_is_none(shop: Shop, text: str, told: str) -> None:
    page = await shop.window("Sam")
    await page.goto("/sell")
    await page.click("summary:has-text('Import')")
    await chosen(page, text)
    await expect(page.locator(".import [role=alert]")).to_contain_text(told)


def test_the_columns_are_those_of_the_command() -> None:
    module = (Path(web.__file__).parent / "static" / "import.js").read_text()
    named = re.findall(r"^const (?:NEEDED|OPTIONAL) = (\[.*\]);$", module, re.MULTILINE)
    assert {column for columns in named for column in json.loads(columns)} == set(COLUMNS)
    assert set(CSV.splitlines()[0].split(",")) < set(COLUMNS)
