"""The importer: the same rules, since it posts the same bodies; and files that no marketplace should see."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli.import_json import read_json
from cli.import_rows import BadRow, GoodRow, Row
from cli.importing import import_listings
from tests.api.house import PASSWORD, House
from tests.input.shapes import GOOD

BODY = {name: value for name, value in GOOD["NewTicket"].items() if name not in ("description", "hold_seconds")}


def rows(text: str) -> list[Row]:
    return list(read_json(io.StringIO(text)))


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        ('{"title": "a", "title": "b"}', "title: is there twice"),
        ('{"event": {"name": "a", "name": "b"}}', "name: is there twice"),
        ('{"": 1, "": 2}', ": is there twice"),
        (json.dumps(BODY | {"hold_seconds": 0}).replace('"hold_seconds": 0', '"hold_seconds": 1e999'), "no JSON"),
        (json.dumps(BODY | {"title": "\ud83d"}), "no JSON"),
    ],
)
def test_what_json_leaves_open_is_a_bad_row(entry: str, fault: str) -> None:
    good = json.dumps(BODY)
    first, bad, last = rows(f"[{good}, {entry}, {good}]")
    assert isinstance(first, GoodRow)
    assert isinstance(last, GoodRow)
    assert isinstance(bad, BadRow)
    assert fault in bad.faults[0]


async def run_import(house: House, path: Path) -> Result:
    arguments = [str(path), "--seller", "sam@example.org", "--create", "--url", house.url]
    return await asyncio.to_thread(CliRunner().invoke, import_listings, arguments, catch_exceptions=False)


async def test_a_file_in_another_form_is_imported_once_and_what_hides_is_refused(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAGEDOOR_SELLER_PASSWORD", PASSWORD)
    titles: list[Any] = ["Cafe\u0301", "Ann\u202egpj", "a\x00b", "👩\u200d👧", "\ufeff"]
    entries = [BODY | {"title": title} for title in titles]
    entries.append(BODY | {"title": "KWD", "price": {"amount": 1_234, "currency": "KWD"}})
    path = tmp_path / "list.json"
    path.write_text(json.dumps(entries), encoding="utf-8")
    first = await run_import(house, path)
    assert (first.exit_code, first.stdout) == (1, "imported 2, already there 0, bad 4\n")
    assert "index 1: title: has U+202E, which is not allowed here" in first.stderr
    assert "index 2: title: has U+0000, which is not allowed here" in first.stderr
    assert "index 4: title: has U+FEFF, which is not allowed here" in first.stderr
    assert "index 5: price.amount: cards take KWD in steps of 10 minor units" in first.stderr
    await house.project()
    again = await run_import(house, path)
    assert again.stdout == "imported 0, already there 2, bad 4\n"
    found = (await house.call("GET", "/tickets")).body["items"]
    assert {one["title"] for one in found} == {"Café", "👩\u200d👧"}


async def test_csv_with_what_hides_in_it(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAGEDOOR_SELLER_PASSWORD", PASSWORD)
    lines = [
        "\ufefftitle,event_name,starts_at,venue,amount,currency,quantity",
        "A\x00,B,2030-07-14T19:00:00Z,C,100,EUR,1",
        "A,B\u2066,2030-07-14T19:00:00Z,C,100,EUR,1",
        "A,B,2030-07-14T19:00:00Z,C,100,XXX,1",
        "A,B,1066-10-14T09:00:00Z,C,100,EUR,1",
        "A,B,2030-07-14T19:00:00Z,C,100,EUR,1",
    ]
    path = tmp_path / "list.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    result = await run_import(house, path)
    assert result.stdout == "imported 1, already there 0, bad 4\n"
    for said in (
        "line 2: title: has U+0000",
        "line 3: event.name: has U+2066",
        "line 4: price.currency",
        "line 5: event.s",
    ):
        assert said in result.stderr
