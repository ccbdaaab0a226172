"""Reading import files: places of bad rows, quoting, encodings, separators, long arrays."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cli.contract import Event, Money, Ticket
from cli.import_csv import COLUMNS, read_csv
from cli.import_file import ImportFile
from cli.import_json import CHUNK_CHARS, read_json
from cli.import_rows import BadRow, GoodRow, ImportFileError, Row, checked, identity_of

TERMS = ("refund_until", "refund_fee", "resell_returned")
HEADER = ",".join(name for name in COLUMNS if name not in TERMS)
GOOD = "Jazz,Jazz Night,2027-05-01T20:00:00Z,Blue Hall,,music,2500,EUR,100,,"
BODY: dict[str, Any] = {
    "title": "Jazz",
    "event": {"name": "Jazz Night", "starts_at": "2027-05-01T20:00:00Z", "venue": "Blue Hall", "category": "music"},
    "price": {"amount": 2500, "currency": "EUR"},
    "quantity": 100,
}


def from_csv(*lines: str) -> list[Row]:
    return list(read_csv(io.StringIO("\n".join(lines) + "\n", newline="")))


def from_json(text: str) -> list[Row]:
    return list(read_json(io.StringIO(text)))


def faults(row: Row) -> tuple[str, ...]:
    assert isinstance(row, BadRow)
    return row.faults


def test_csv_makes_bodies_without_the_empty_fields() -> None:
    (row,) = from_csv(HEADER, GOOD)
    assert isinstance(row, GoodRow)
    assert (row.place, row.body) == ("line 2", BODY)


def test_csv_columns_in_any_order() -> None:
    (row,) = from_csv(
        "quantity,title,event_name,starts_at,venue,amount,currency,hold_seconds",
        "5,A,B,2027-05-01T20:00:00+02:00,C,100,EUR,60",
    )
    assert isinstance(row, GoodRow)
    assert (row.body["quantity"], row.body["hold_seconds"]) == (5, 60)


def test_csv_with_terms_of_refund() -> None:
    header = f"{HEADER},{','.join(TERMS)}"
    given, empty = from_csv(header, f"{GOOD},2027-04-01T00:00:00Z,250,False", f"{GOOD},,,")
    assert isinstance(given, GoodRow)
    assert isinstance(empty, GoodRow)
    assert given.body == BODY | {"refund_until": "2027-04-01T00:00:00Z", "refund_fee": 250, "resell_returned": False}
    assert empty.body == BODY
    (bad,) = from_csv(header, f"{GOOD},,2.50,no")
    assert faults(bad) == (
        "refund_fee: '2.50' is not a whole number of minor units (12.50 is 1250)",
        "resell_returned: 'no' is neither true nor false",
    )


def test_csv_says_all_that_is_wrong_with_a_row() -> None:
    (row,) = from_csv(HEADER, ",Jazz Night,2027-05-01T20:00:00Z,Blue Hall,,,12.50,EUR,ten,,")
    assert faults(row) == (
        "title: is empty",
        "amount: '12.50' is not a whole number of minor units (12.50 is 1250)",
        "quantity: 'ten' is not a whole number",
    )


@pytest.mark.parametrize("moment", ["tomorrow", "2027-05-01", "2027-05-01T20:00:00"])
def test_a_time_needs_its_offset(moment: str) -> None:
    (row,) = from_csv(HEADER, GOOD.replace("2027-05-01T20:00:00Z", moment))
    assert "is not a time with its offset" in faults(row)[0]


def test_csv_places_rows_by_the_line_they_begin_on() -> None:
    quoted = 'Jazz,"Jazz\nNight\n2",2027-05-01T20:00:00Z,Blue Hall,,,2500,EUR,100,,'
    rows = from_csv(HEADER, "", GOOD, quoted, ",,,,,,,,,,", "too,few", GOOD)
    assert [row.place for row in rows] == ["line 3", "line 4", "line 8", "line 9"]
    assert faults(rows[2]) == ("2 cells, but 11 columns",)
    assert isinstance(rows[1], GoodRow)
    assert rows[1].body["event"]["name"] == "Jazz\nNight\n2"


def test_csv_line_ends_of_windows() -> None:
    rows = list(read_csv(io.StringIO(f"{HEADER}\r\n{GOOD}\r\nbad\r\n", newline="")))
    assert [row.place for row in rows] == ["line 2", "line 3"]


def test_csv_with_broken_quotes_goes_on_with_the_next_line() -> None:
    rows = from_csv(HEADER, '"Jazz"x,', GOOD, '"never closed', GOOD)
    assert [row.place for row in rows] == ["line 2", "line 3", "lines 4 to 5"]
    assert faults(rows[0])[0].startswith("not CSV: ")
    assert isinstance(rows[1], GoodRow)
    assert faults(rows[2])[0].startswith("not CSV: ")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("", "the file is empty"),
        (HEADER.replace(",", ";"), "separated by semicolons"),
        (HEADER.replace(",", "\t"), "separated by tabs"),
        (HEADER + ",colour", "unknown columns: 'colour'"),
        ("title,venue", "missing columns: event_name, starts_at, amount, currency, quantity"),
        (HEADER + ",title", "twice"),
    ],
)
def test_csv_header_that_cannot_be_used(header: str, message: str) -> None:
    with pytest.raises(ImportFileError, match=message):
        from_csv(header)


def test_json_places_rows_by_their_index() -> None:
    rows = from_json(json.dumps([BODY, 7, {**BODY, "quantity": "ten"}, {**BODY, "event": "Jazz"}]))
    assert [row.place for row in rows] == ["index 0", "index 1", "index 2", "index 3"]
    assert faults(rows[1]) == ("not an object",)
    assert faults(rows[2]) == ("quantity: is not a whole number",)
    assert faults(rows[3]) == tuple(f"event.{name}: is missing" for name in ("name", "starts_at", "venue"))


def test_json_true_is_no_number() -> None:
    assert faults(checked("index 0", {**BODY, "quantity": True})) == ("quantity: is not a whole number",)


def test_json_longer_than_what_is_read_at_once() -> None:
    bodies = [{**BODY, "title": f"Jazz {number}"} for number in range(2000)]
    text = json.dumps(bodies, indent=1)
    assert len(text) > 5 * CHUNK_CHARS
    rows = from_json(text)
    assert [row.body for row in rows if isinstance(row, GoodRow)] == bodies


@pytest.mark.parametrize("text", ["[]", " [ ] \n"])
def test_json_without_entries(text: str) -> None:
    assert from_json(text) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a JSON array"),
        ('{"title": "Jazz"}', "not a JSON array"),
        ("[1", "index 0: not JSON"),
        ("[1,]", "index 1: not JSON"),
        ("[1 2]", "after index 0: expected ',' or ']', found '2'"),
        ("[1 ", "after index 0: expected ',' or ']', found 'the end'"),
        ("[1] x", "after the array"),
        ("[NaN]", "index 0: not JSON: NaN"),
        ('["' + "x" * 1_200_000, "index 0: not JSON"),
    ],
)
def test_json_that_is_broken(text: str, message: str) -> None:
    with pytest.raises(ImportFileError, match=message.replace("]", r"\]")):
        from_json(text)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("name", ["list.csv", "list.txt"])
def test_files_in_utf_8_with_and_without_a_mark(tmp_path: Path, mark: bytes, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(mark + f"{HEADER}\n{GOOD.replace('Jazz,', 'Élan,')}\n".encode())
    (row,) = ImportFile(path).rows()
    assert isinstance(row, GoodRow)
    assert row.body["title"] == "Élan"


def test_a_file_in_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(f"{HEADER}\n{GOOD}\n{GOOD.replace('Jazz,', 'Élan,')}\n".encode("latin-1"))
    with pytest.raises(ImportFileError, match="line 3: not UTF-8"):
        list(ImportFile(path).rows())


def test_json_is_known_without_its_name(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_text("\n " + json.dumps([BODY]))
    assert [row.place for row in ImportFile(path).rows()] == ["index 0"]


def test_a_listing_has_the_identity_of_its_row() -> None:
    row = checked(
        "index 0", {**BODY, "title": " Jazz ", "event": {**BODY["event"], "starts_at": "2027-05-01T22:00:00+02:00"}}
    )
    assert isinstance(row, GoodRow)
    event = Event("Jazz Night", datetime(2027, 5, 1, 20, tzinfo=UTC), "Blue Hall")
    ticket = Ticket("1", "Jazz", event, Money(2500, "EUR"), 100, 90, 0, 10, "open")
    other = Ticket("2", "Jazz", event, Money(2500, "EUR"), 99, 99, 0, 0, "open")
    assert identity_of(ticket) == row.identity != identity_of(other)
