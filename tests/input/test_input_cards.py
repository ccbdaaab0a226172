"""Card numbers: never taken, never logged, never stored."""

from __future__ import annotations

import logging
from typing import Any

import msgspec
import psycopg
import pytest

from api import bodies, cards
from api.models import NewTicket
from api.problems import Refused
from tests.api.house import House
from tests.input.shapes import GOOD

NUMBERS = ["4242424242424242", "4242 4242 4242 4242", "5555-5555-5555-4444", "378282246310005", "6011000990139424",
           "3056930009020004", "6205500000000000004"]  # fmt: skip
"""Stripe's test cards (docs.stripe.com/testing): of 14 to 19 digits."""


@pytest.mark.parametrize("number", NUMBERS)
def test_a_card_number_is_known_by_its_check_digit(number: str) -> None:
    for text in (number, f"pm_{number}", f"x{number}y"):
        with pytest.raises(Refused) as caught:
            cards.refuse(text, "payment_method")
        assert number not in caught.value.detail
    wrong = number[:-1] + str((int(number[-1]) + 1) % 10)
    cards.refuse(wrong, "payment_method")


@pytest.mark.parametrize("text", ["pm_card_visa", "pm_1MqLiJLkdIwHu7ixUEgbFdYF", "pm_123456789012", "", "4242"])
def test_payment_methods_hold_none(text: str) -> None:
    cards.refuse(text, "payment_method")


PAYMENTS: list[dict[str, Any]] = [
    *({"payment_method": number} for number in NUMBERS),
    *({"payment_method": f"pm_{number}"} for number in NUMBERS if number.isdigit()),
    {"payment_method": "card_1MqLiJ"},
    {"payment_method": "tok_visa"},
    {"payment_method": "pm_card_visa\n"},
    {"payment_method": "pm_"},
    {"payment_method": "pm_x/../charges"},
    {"payment_method": 4242424242424242},
    {"payment_method": {"card": {"number": NUMBERS[0]}}},
    {"payment_method": "pm_card_visa", "card": {"number": NUMBERS[0]}},
    {"payment_method": "pm_card_visa", "card_number": NUMBERS[0]},
    {"payment_method": "pm_card_visa", "metadata": [NUMBERS[0]]},
]


async def test_no_payment_takes_one(house: House, database_url: str, caplog: pytest.LogCaptureFixture) -> None:
    _, buyer, _, order = await house.ordered()
    with caplog.at_level(logging.DEBUG):
        for number, more in enumerate(PAYMENTS):
            body = {"order_id": order["id"]} | more
            answer = await house.call("POST", "/payments", body, token=buyer.token, key=f"k{number}")
            assert (answer.status, answer.code) == (422, "validation_failed"), more
            assert not [digits for digits in NUMBERS if digits in answer.raw.decode()]
    seen = caplog.text + str(await house.sandbox("GET", "/_sandbox/state")) + stored(database_url)
    assert not [digits for digits in NUMBERS if digits in seen]
    assert await house.types(order["id"]) == ["OrderCreated"]
    assert (await house.pay(buyer, order["id"])).status == 201


def test_digits_in_a_title_are_a_title() -> None:
    body = GOOD["NewTicket"] | {"title": f"Seat {NUMBERS[0]}"}
    assert bodies.decode(NewTicket, msgspec.json.encode(body)).title == f"Seat {NUMBERS[0]}"


def stored(database_url: str) -> str:
    """Everything in the database, as text."""
    with psycopg.connect(database_url) as connection:
        tables = connection.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
        return "".join(
            str(connection.execute(f'SELECT * FROM "{name}"'.encode()).fetchall()) for (name,) in tables.fetchall()
        )
