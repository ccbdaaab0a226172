"""The house key: made once, kept from others, and never taken for another one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from adapters.house_key import HouseKey, Unreadable, open_house_key, path_of
from adapters.settings import Settings, SettingsError
from api.app import make_app
from tests.api.conftest import OpenHouse
from tests.api.house import House, settings_of
from tests.backup.conftest import Stagedoor
from tests.streams.parts import ROOT, rows


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return settings_of(database_url, tmp_path / "data")


def test_it_is_made_once_and_for_its_owner_alone(settings: Settings) -> None:
    first = open_house_key(settings)
    path = path_of(settings)
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert [file.name for file in path.parent.iterdir()] == ["house-key"]
    assert open_house_key(settings).check == first.check
    assert bytes.fromhex(path.read_text().strip()) != first.check


def test_processes_that_start_together_agree(settings: Settings) -> None:
    """Threads share nothing here but the file and the database, as processes do."""
    with ThreadPoolExecutor(8) as threads:
        checks = list(threads.map(lambda _: open_house_key(settings).check, range(16)))
    assert len(set(checks)) == 1
    assert rows(settings.database_url or "", "SELECT check_value FROM house_key") == [(checks[0],)]


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: path.unlink(), "is missing, and what is personal in the database is sealed with it"),
    "another": (lambda path: path.write_text("ab" * 32), "is not the one the database was sealed with"),
    "no key": (lambda path: path.write_text("not a key"), "is not one: expected 64 hexadecimal digits"),
    "empty": (lambda path: path.write_bytes(b""), "is not one"),
    "a folder": (lambda path: (path.unlink(), path.mkdir()), "cannot be read: Is a directory"),
}


@pytest.mark.parametrize("bad", BAD)
def test_a_wrong_key_is_one_line_and_nothing_is_made_of_it(bad: str, settings: Settings) -> None:
    open_house_key(settings)
    damage, expected = BAD[bad]
    damage(path_of(settings))
    with pytest.raises(SettingsError, match=expected):
        open_house_key(settings)
    with pytest.raises(SettingsError, match=expected):  # and again: it has not made one meanwhile
        open_house_key(settings)


def test_a_file_that_is_named_is_never_made(settings: Settings, tmp_path: Path) -> None:
    named = replace(settings, master_key_file=tmp_path / "mounted")
    with pytest.raises(SettingsError, match=r"STAGEDOOR_MASTER_KEY_FILE: there is no .*/mounted; make it with"):
        open_house_key(named)
    (tmp_path / "mounted").write_text("0c" * 32 + "\n")
    open_house_key(named)
    with pytest.raises(SettingsError, match="is missing"):
        open_house_key(settings)


def test_where_it_cannot_be_made_it_says_where_it_could_be(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file in the place of the folder")
    with pytest.raises(SettingsError, match=r"(cannot be made|cannot be read).*: Not a directory"):
        open_house_key(settings)


@pytest.mark.parametrize("command", [["api"], ["admin", "ann@example.org"], ["migrate"]])
def test_commands_end_with_code_2_and_one_line(command: list[str], settings: Settings) -> None:
    open_house_key(settings)
    path_of(settings).write_text("ab" * 32)
    ended = subprocess.run(
        [sys.executable, "-m", "cli.main", *command],
        env=os.environ | settings.as_environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = ended.stderr.strip().splitlines()
    assert (ended.returncode, len(said)) == (2, 1), ended
    assert "is not the one the database was sealed with" in said[0]


async def test_an_api_does_not_start_with_another_key(settings: Settings) -> None:
    open_house_key(settings)
    path_of(settings).write_text("ab" * 32)
    from aiohttp import web

    runner = web.AppRunner(make_app(settings))
    with pytest.raises(SettingsError, match="is not the one"):
        await runner.setup()
    await runner.cleanup()


async def test_readyz_says_when_the_database_is_another_houses(house: House, database_url: str) -> None:
    assert (await house.call("GET", "//readyz")).status == 200
    rows(database_url, "UPDATE house_key SET check_value = %s", bytes(32))
    answer = await house.call("GET", "//readyz")
    assert (answer.status, answer.code) == (503, "unavailable")
    assert "another house key" in answer.body["detail"]


async def test_two_houses_share_it(open_house: OpenHouse) -> None:
    async with open_house() as one, open_house() as two:
        ann = await one.person("ann")
        answer = await two.call("GET", "/users/currentuser", token=ann.token)
        assert answer.body["currentUser"]["email"] == ann.email


def test_what_was_sealed_opens_for_its_purpose_and_its_key_alone() -> None:
    one, two = HouseKey(bytes(32)), HouseKey(bytes([1]) * 32)
    sealed = one.seal(b"secret", b"purpose")
    assert one.open(sealed, b"purpose") == b"secret"
    assert one.seal(b"secret", b"purpose") != sealed
    changed = sealed[:-1] + bytes([sealed[-1] ^ 1])
    for key, text, purpose in (
        (one, sealed, b"other"),
        (two, sealed, b"purpose"),
        (one, changed, b"purpose"),
        (one, b"", b"purpose"),
    ):
        with pytest.raises(Unreadable):
            key.open(text, purpose)
    assert one.address_hash("a@b.example") != two.address_hash("a@b.example")


def test_a_backup_comes_back_with_its_key_alone(
    settings: Settings, stagedoor: Stagedoor, tmp_path: Path, database_url: str
) -> None:
    open_house_key(settings)
    assert stagedoor("backup", tmp_path / "backup").code == 0
    key = path_of(settings)
    key.rename(tmp_path / "kept")
    said = stagedoor("restore", tmp_path / "backup", "--yes")
    assert (said.code, said.err.count("\n")) == (2, 1), said
    assert "the house key" in said.err
    with psycopg.connect(database_url) as connection:
        fresh = connection.execute("SELECT datname FROM pg_database WHERE datname LIKE '%\\_restoring\\_%'").fetchall()
    assert fresh == [], "what was restored so far is gone"
    (tmp_path / "kept").rename(key)
    assert stagedoor("restore", tmp_path / "backup", "--yes").code == 0
