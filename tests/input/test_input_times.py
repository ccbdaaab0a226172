"""Times: RFC 3339 with an offset, kept in UTC; the years of events; queries of any time there is."""

from __future__ import annotations

import msgspec
import pytest

from api import bodies
from api.models import NewTicket, TicketChanges
from api.problems import Refused
from api.representations import listing_change, new_listing
from domain.errors import Invalid
from tests.api.house import EVENT, House
from tests.domain.scenes import listing
from tests.input.shapes import GOOD, changed

KEPT = {
    "2030-07-14T19:00:00Z": "2030-07-14T19:00:00Z",
    "2030-07-14T19:00:00-00:00": "2030-07-14T19:00:00Z",
    "2030-07-14T23:30:00+05:45": "2030-07-14T17:45:00Z",
    "2030-07-14t19:00:00.25z": "2030-07-14T19:00:00.250000Z",
    "2028-02-29T00:00:00+14:00": "2028-02-28T10:00:00Z",
    "1969-07-20T20:17:40Z": "1969-07-20T20:17:40Z",
    "2999-12-31T23:59:59-12:00": "3000-01-01T11:59:59Z",
}


async def test_a_time_is_kept_in_utc(house: House) -> None:
    """An event may be over: a history can be imported."""
    seller = await house.person()
    tickets = {given: await house.listing(seller, event=EVENT | {"starts_at": given}) for given in KEPT}
    await house.project()
    for given, kept in KEPT.items():
        assert tickets[given]["event"]["starts_at"] == kept
        answer = await house.call("GET", f"/tickets/{tickets[given]['id']}")
        assert answer.body["event"]["starts_at"] == kept


@pytest.mark.parametrize(
    "given",
    [
        "2030-07-14T19:00:00", "2030-07-14", "2030-07-14T19:00Z", "20300714T190000Z", "2030-07-14T24:00:00Z",
        "2030-06-30T23:59:60Z", "2029-02-29T00:00:00Z", "2030-13-01T00:00:00Z", "2030-07-14T19:00:00+24:00",
        "2030-07-14T19:00:00+01:60", "2030-07-14T19:00:00,5Z", "1e5", "0000-01-01T00:00:00Z", " 2030-07-14T19:00:00Z",
        "2030-07-14T19:00:00Z\n", "٢030-07-14T19:00:00Z", "2030-W28-7T19:00:00Z", "10000-01-01T00:00:00Z",
        1_910_000_000, None, True,
    ],
)  # fmt: skip
def test_what_is_no_time(given: object) -> None:
    """A leap second is none either: no clock here has it."""
    with pytest.raises(Refused) as caught:
        bodies.decode(NewTicket, msgspec.json.encode(changed(NewTicket, ("event", "starts_at"), given)))
    assert [error.field for error in caught.value.errors] == ["event.starts_at"]


@pytest.mark.parametrize(
    "given", ["0001-01-01T00:00:00+14:00", "1899-12-31T23:59:59Z", "3000-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00"]
)
def test_the_years_of_events_are_bounded(given: str) -> None:
    event = {"starts_at": given}
    new = bodies.decode(NewTicket, msgspec.json.encode(GOOD["NewTicket"] | {"event": EVENT | event}))
    change = bodies.decode(TicketChanges, msgspec.json.encode({"event": event}))
    for make in (lambda: new_listing(new), lambda: listing_change(change)(listing())):
        with pytest.raises(Invalid, match=r"event\.starts_at: expected a time of the years 1900 to 2999"):
            make()


async def test_any_time_can_be_asked_for(house: House) -> None:
    ticket = await house.listing(await house.person())
    await house.project()
    for moment in ("0001-01-01T00:00:00%2B14:00", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999-14:00"):
        assert (await house.call("GET", f"/tickets?from={moment}&to={moment}")).status == 200
        assert (await house.call("GET", f"/tickets/{ticket['id']}?as_of={moment}")).status in (200, 404)
