"""Letters wait in a table: a mail server that is away loses none, and no letter is sent by two."""

from __future__ import annotations

import asyncio
import logging

import pytest
from psycopg_pool import AsyncConnectionPool

from adapters import letters as queue
from adapters.letters import Letters
from api import post_office
from tests.accounts.postbox import PASSWORD_CHANGED, VERIFY, Postbox
from tests.accounts.smtp_double import SmtpDouble, smtp_double
from tests.api.conftest import OpenHouse
from tests.api.house import House, eventually
from tests.conftest import HOUSE_KEY
from tests.streams.parts import rows


def waiting(database_url: str) -> list[tuple[str, int, str | None]]:
    return rows(database_url, "SELECT kind, tries, last_error FROM letters ORDER BY kind")


async def test_a_mail_server_that_is_away_loses_nothing_and_nobody_waits_for_it(
    open_house: OpenHouse, database_url: str
) -> None:
    async with smtp_double(SmtpDouble()) as double:
        pass  # its port is free again
    url = f"smtp://127.0.0.1:{double.port}?starttls=off"
    async with open_house(smtp_url=url) as house:
        ann = await house.person("ann")

        async def tried() -> bool:
            return waiting(database_url) == [("verify_email", 1, "ConnectionRefusedError")]

        assert await eventually(tried), waiting(database_url)
    async with smtp_double(double), open_house(smtp_url=url):
        rows(database_url, "UPDATE letters SET due_at = now()")

        async def sent() -> bool:
            return waiting(database_url) == []

        assert await eventually(sent), waiting(database_url)
    assert [recipient for recipient, _ in double.taken] == [ann.email]


async def test_each_letter_is_sent_by_one_of_several_processes(
    open_house: OpenHouse, postbox: Postbox, database_url: str
) -> None:
    async with open_house() as one, open_house(), open_house():
        ann = await one.person("ann")
        await postbox.wait_for(ann.email, VERIFY)
        rows(
            database_url,
            "INSERT INTO letters (kind, user_id) SELECT 'password_changed', %s FROM generate_series(1, 60)",
            ann.id,
        )
        await postbox.wait_for(ann.email, PASSWORD_CHANGED, 60)

        async def sent() -> bool:
            return waiting(database_url) == []

        assert await eventually(sent)
    assert len(postbox.letters(ann.email, PASSWORD_CHANGED)) == 60


async def test_the_pauses_between_tries_grow_and_have_an_end(pool: AsyncConnectionPool, database_url: str) -> None:
    letters = Letters(pool, HOUSE_KEY)
    await letters.ask("password_reset", recipient="ann@example.org")
    pauses = []
    for _ in range(queue.MAX_TRIES):
        (claimed,) = await letters.claim(4)
        assert await letters.claim(4) == []
        pauses.append(rows(database_url, "SELECT extract(epoch FROM due_at - now()) FROM letters")[0][0])
        rows(database_url, "UPDATE letters SET due_at = now()")
    assert [round(float(pause), -1) for pause in pauses[:3]] == [120, 240, 480]
    assert round(float(pauses[-1]), -1) == queue.LONGEST_RETRY_SECONDS
    assert claimed.tries == queue.MAX_TRIES


async def test_after_the_last_try_a_letter_is_given_up_and_that_is_said(
    open_house: OpenHouse, database_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(post_office, "MAX_TRIES", 1)
    with caplog.at_level(logging.WARNING):
        async with open_house(smtp_url="smtp://127.0.0.1:9?starttls=off") as house:
            ann = await house.person("ann")

            async def given_up() -> bool:
                return "is given up after 1 tries" in caplog.text

            assert await eventually(given_up)
            assert waiting(database_url) == []
    assert ann.email not in caplog.text


async def test_a_letter_to_an_address_nobody_takes_does_not_come_again(
    open_house: OpenHouse, database_url: str
) -> None:
    double = SmtpDouble(refuses=550)
    async with smtp_double(double), open_house(smtp_url=f"smtp://127.0.0.1:{double.port}?starttls=off") as house:
        await house.person("ann")

        async def dropped() -> bool:
            return waiting(database_url) == []

        assert await eventually(dropped)
    assert not double.taken


async def test_what_is_wrong_with_one_letter_stops_no_other(house: House, postbox: Postbox, database_url: str) -> None:
    ann = await house.person("ann")
    await postbox.wait_for(ann.email, VERIFY)
    rows(database_url, "INSERT INTO letters (kind) VALUES ('password_changed')")  # for nobody: it cannot be
    rows(database_url, "INSERT INTO letters (kind, user_id) VALUES ('password_changed', %s)", ann.id)
    await postbox.wait_for(ann.email, PASSWORD_CHANGED)

    async def one_is_left() -> bool:
        return waiting(database_url) == [("password_changed", 1, "AssertionError")]

    assert await eventually(one_is_left)


async def test_a_database_that_is_away_is_waited_for(
    house: House, postbox: Postbox, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(post_office, "AWAY_SECONDS", 0.05)
    ann = await house.person("ann")
    await postbox.wait_for(ann.email, VERIFY)
    rows(
        database_url,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()",  # noqa: E501
    )
    await asyncio.sleep(0.1)
    rows(database_url, "INSERT INTO letters (kind, user_id) VALUES ('password_changed', %s)", ann.id)
    await postbox.wait_for(ann.email, PASSWORD_CHANGED)
