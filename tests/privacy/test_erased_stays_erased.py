"""An older backup does not bring back whoever was erased since; where nobody knows any more, Kafka does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from tests.api.house import House, Person, running_house, settings_of
from tests.backup.conftest import Stagedoor, make_builtin, part, started
from tests.streams.conftest import Builtin
from tests.streams.parts import Part, eventually, is_published, log_end, rows

__all__ = ["make_builtin", "part", "started"]

KNOWN = (
    "SELECT (SELECT count(*) FROM accounts WHERE user_id = %s), (SELECT count(*) FROM personal_keys WHERE user_id = %s)"
)
ERASED = "SELECT count(*) FROM stored_events WHERE originator_id = %s AND topic = 'stagedoor.User.Erased'"


def is_known(database_url: str, person: Person) -> bool:
    return rows(database_url, KNOWN, person.id, person.id) == [(1, 1)]


def is_gone(database_url: str, person: Person) -> bool:
    found = rows(database_url, KNOWN, person.id, person.id), rows(database_url, ERASED, person.id)
    return found == ([(0, 0)], [(1,)])


@pytest.fixture
def people(database_url: str, tmp_path: Path) -> dict[str, Person]:
    """Somebody who stays, somebody who was erased before the backup, and somebody who will be."""

    async def live() -> dict[str, Person]:
        async with _house(database_url, tmp_path) as house:
            found = {name: await house.person(name) for name in ("stays", "before", "after")}
            await _erase(house, found["before"])
            return found

    return asyncio.run(live())


def _house(database_url: str, tmp_path: Path) -> AbstractAsyncContextManager[House]:
    return running_house(settings_of(database_url, tmp_path / "data", stripe_api_base="http://127.0.0.1:1"))


async def _erase(house: House, person: Person) -> None:
    assert (await house.call("DELETE", "/users/currentuser", token=person.token)).status == 204


def erase(database_url: str, tmp_path: Path, person: Person) -> None:
    async def tell() -> None:
        async with _house(database_url, tmp_path) as house:
            await _erase(house, person)

    asyncio.run(tell())


def test_a_restore_erases_again(
    database_url: str, people: dict[str, Person], stagedoor: Stagedoor, tmp_path: Path
) -> None:
    assert stagedoor("backup", tmp_path / "backup").code == 0
    erase(database_url, tmp_path, people["after"])
    end = log_end(database_url)
    said = stagedoor("restore", tmp_path / "backup", "--yes")
    assert said.code == 0, said
    assert "1 accounts that were erased after the backup are erased again" in said.out
    assert f"new events begin at position {end + 2:,}" in said.out
    assert is_known(database_url, people["stays"])
    assert is_gone(database_url, people["before"])
    assert is_gone(database_url, people["after"])
    # An event like any other: of the house's own accord, and behind everything that anybody has seen.
    [(position,)] = rows(
        database_url, "SELECT notification_id FROM stored_events WHERE originator_id = %s AND originator_version = 2",
        people["after"].id,
    )  # fmt: skip
    assert position > end
    assert stagedoor("replay").code == 0
    assert rows(database_url, "SELECT erased FROM user_status WHERE id = %s", people["after"].id) == [(True,)]
    assert "differences" not in stagedoor("verify").out


def test_nothing_is_said_when_nobody_was(
    database_url: str, people: dict[str, Person], stagedoor: Stagedoor, tmp_path: Path
) -> None:
    assert stagedoor("backup", tmp_path / "backup").code == 0
    said = stagedoor("restore", tmp_path / "backup", "--yes")
    assert (said.code, "erased" in said.out) == (0, False), said
    assert is_known(database_url, people["after"])


def test_with_the_former_database_lost_the_repair_learns_it_from_kafka(  # noqa: PLR0917 - fixtures
    database_url: str,
    people: dict[str, Person],
    stagedoor: Stagedoor,
    make_builtin: Callable[[], Builtin],
    part: Callable[[str, str], Part],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address = asyncio.run(make_builtin().address())
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", address)
    relay = part("relay", address)
    asyncio.run(eventually(lambda: is_published(database_url), "all is on Kafka"))
    kept = rows(database_url, "SELECT position, partitions::text FROM relay_state")[0]
    secrets = {
        table: rows(database_url, f"SELECT * FROM {table} WHERE user_id = %s", people["after"].id)[0]
        for table in ("personal_keys", "accounts")
    }
    end = log_end(database_url)
    erase(database_url, tmp_path, people["after"])
    asyncio.run(eventually(lambda: is_published(database_url), "all is on Kafka"))
    relay.stop()
    # As from a backup, on a machine that has nothing else.
    rows(database_url, "DELETE FROM stored_events WHERE notification_id > %s", end)
    rows(database_url, "UPDATE relay_state SET position = %s, partitions = %s::jsonb", *kept)
    for table, row in secrets.items():
        rows(database_url, f"INSERT INTO {table} VALUES ({', '.join(['%s'] * len(row))})", *row)
    assert is_known(database_url, people["after"])

    said = stagedoor("repair")
    assert said.code == 1, said
    assert "1 accounts are there again that were erased after the backup" in said.out
    assert "erase 1 accounts again" in said.out
    assert is_known(database_url, people["after"]), "without --yes nothing is done"
    done = stagedoor("repair", "--yes")
    assert done.code == 0, done
    assert is_gone(database_url, people["after"])
    assert is_known(database_url, people["stays"])
    assert rows(database_url, "SELECT erased FROM user_status WHERE id = %s", people["after"].id) == [(True,)]
