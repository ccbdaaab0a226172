"""`stagedoor backup` and `restore` on a real server: the whole way, every refusal, and nothing lost by a failure."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from adapters.settings import SettingsError
from cli.backup.programs import find
from cli.target import CannotStartError
from tests.backup.conftest import Said, Stagedoor, sell
from tests.conftest import with_database
from tests.streams.parts import log_end, rows


def manifest_of(backup: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((backup / "manifest.json").read_text())
    return manifest


def change_manifest(backup: Path, **more: Any) -> None:
    manifest = manifest_of(backup)
    manifest["database"].update(more)
    (backup / "manifest.json").write_text(json.dumps(manifest))


def databases(url: str) -> set[str]:
    return {row[0] for row in rows(url, "SELECT datname FROM pg_database")}


def name_of(url: str) -> str:
    name: str = rows(url, "SELECT current_database()")[0][0]
    return name


def everything(url: str) -> dict[str, list[Any]]:
    """The content of every table, but of those that say who is signed in."""
    tables = rows(url, "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'")
    content = {table: sorted(rows(url, f"SELECT * FROM {table}"), key=repr) for (table,) in tables}
    return {table: content[table] for table in content.keys() - {"sessions", "signing_keys"}}


@pytest.fixture
def backup(sold: str, stagedoor: Stagedoor, tmp_path: Path) -> Path:
    """A backup of the database with some orders in it."""
    target = tmp_path / "backup"
    assert stagedoor("backup", target).code == 0
    return target


def test_what_was_backed_up_comes_back_and_what_was_there_is_kept(
    sold: str, stagedoor: Stagedoor, tmp_path: Path
) -> None:
    assert stagedoor("replay").code == 0
    before, end = everything(sold), log_end(sold)
    target = tmp_path / "backup"
    said = stagedoor("backup", target)
    assert (said.code, f"up to position {end:,}" in said.out) == (0, True), said
    sell(sold, 3)
    later, later_end = everything(sold), log_end(sold)
    assert later != before

    restored = stagedoor("restore", target, "--yes")
    assert restored.code == 0, restored
    assert everything(sold) == before
    former = next(name for name in databases(sold) if name.startswith(f"{name_of(sold)}_before_"))
    assert f"kept as {former}" in restored.out
    assert everything(with_database(sold, former)) == later
    # What happens now does not get the positions of what happened after the backup.
    sell(sold, 1)
    newest = "SELECT min(notification_id) FROM stored_events WHERE notification_id > %s"
    assert rows(sold, newest, end)[0][0] > later_end
    assert stagedoor("replay").code == 0
    assert "differences" not in stagedoor("verify").out


def test_it_is_for_its_owner_alone_and_says_what_is_in_it(backup: Path, sold: str) -> None:
    assert backup.stat().st_mode & 0o777 == 0o700
    paths = list(backup.rglob("*"))
    assert {path.stat().st_mode & 0o777 for path in paths if path.is_dir()} == {0o700}
    assert {path.stat().st_mode & 0o777 for path in paths if path.is_file()} == {0o600}
    manifest = manifest_of(backup)
    files = {path.relative_to(backup).as_posix(): path for path in (backup / "dump").iterdir()}
    assert {name: entry["sha256"] for name, entry in manifest["files"].items()} == {
        name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()
    }
    database = manifest["database"]
    assert database["events"] == rows(sold, "SELECT count(*) FROM stored_events")[0][0]
    assert database["log_end"] == log_end(sold)
    assert database["rows"].keys() >= {"accounts", "ticket_listing", "buyer_orders", "user_status", "signing_keys"}
    assert [path.name for path in backup.parent.iterdir() if "partial" in path.name] == []


def test_sessions_and_tokens_of_that_time_are_good_no_more(sold: str, stagedoor: Stagedoor, tmp_path: Path) -> None:
    """Else whoever signed out after the backup, or was signed out, would be in again."""
    rows(sold, "INSERT INTO sessions (session_id, user_id, refresh_hash, expires_at)"
               " VALUES (gen_random_uuid(), gen_random_uuid(), '', now() + interval '1 day')")  # fmt: skip
    rows(sold, "INSERT INTO signing_keys (kid, private_pem) VALUES ('k', 'p')")
    rows(sold, "INSERT INTO links VALUES ('', gen_random_uuid(), 'password_reset', now() + interval '1 hour')")
    rows(sold, "INSERT INTO letters (kind, recipient) VALUES ('password_reset', 'ann@example.org')")
    assert stagedoor("backup", tmp_path / "backup").code == 0
    assert stagedoor("restore", tmp_path / "backup", "--yes").code == 0
    assert rows(sold, "SELECT ended_at IS NOT NULL FROM sessions") == [(True,)]
    for table in ("signing_keys", "links", "letters"):
        assert rows(sold, f"SELECT count(*) FROM {table}") == [(0,)]


def test_it_shows_one_moment_while_the_marketplace_runs(sold: str, stagedoor: Stagedoor, tmp_path: Path) -> None:
    ended = threading.Event()

    def trade() -> None:
        while not ended.is_set():
            sell(sold, 20)

    trading = threading.Thread(target=trade)
    trading.start()
    try:
        begun = log_end(sold)
        while log_end(sold) == begun:
            time.sleep(0.01)
        assert stagedoor("backup", tmp_path / "backup").code == 0
    finally:
        ended.set()
        trading.join()
    assert begun < manifest_of(tmp_path / "backup")["database"]["log_end"] < log_end(sold)
    # The figures were read before pg_dump began: it is compared with them.
    assert stagedoor("restore", tmp_path / "backup", "--yes").code == 0


def test_the_hashes_of_closed_sections_go_along(sold: str, stagedoor: Stagedoor, tmp_path: Path) -> None:
    rows(sold, "INSERT INTO log_sections (number, last_position, events, hash) VALUES (1, 10, 9, '\\xab01')")
    assert stagedoor("backup", tmp_path / "backup").code == 0
    sections = manifest_of(tmp_path / "backup")["database"]["sections"]
    assert sections == [{"number": 1, "last_position": 10, "events": 9, "hash": "ab01"}]
    # It is not the hash of what is there.
    said = stagedoor("restore", tmp_path / "backup", "--yes")
    assert (said.code, "section 1 of the log was changed" in said.err) == (1, True), said


def test_a_rebuild_under_way_is_left_out(sold: str, stagedoor: Stagedoor, tmp_path: Path) -> None:
    rows(sold, "CREATE SCHEMA rebuild; CREATE TABLE rebuild.ticket_listing (LIKE ticket_listing)")
    assert stagedoor("backup", tmp_path / "backup").code == 0
    assert stagedoor("restore", tmp_path / "backup", "--yes").code == 0
    assert rows(sold, "SELECT to_regnamespace('rebuild') IS NULL") == [(True,)]


# Refusals: exit code 2 and one line for wrong use, 1 for what is wrong -----------------------------------------------


def refused(said: Said, code: int, *texts: str) -> None:
    assert said.code == code, said
    assert said.err.count("\n") == 1, said
    for text in texts:
        assert text in said.err


def test_nothing_is_written_over(backup: Path, stagedoor: Stagedoor, tmp_path: Path) -> None:
    before = manifest_of(backup)
    refused(stagedoor("backup", backup), 2, "exists already")
    assert manifest_of(backup) == before
    (tmp_path / "a file").write_text("mine")
    refused(stagedoor("backup", tmp_path / "a file"), 2, "exists already")
    assert (tmp_path / "a file").read_text() == "mine"


def test_a_folder_that_is_not_there_is_not_made(stagedoor: Stagedoor, tmp_path: Path) -> None:
    refused(stagedoor("backup", tmp_path / "mnt" / "backup"), 2, "there is no folder")
    assert not (tmp_path / "mnt").exists()


def test_a_database_without_a_marketplace(
    server_url: str, stagedoor: Stagedoor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", server_url)
    refused(stagedoor("backup", tmp_path / "backup"), 2, "nothing of a marketplace")


def test_a_backup_that_fails_leaves_nothing(
    sold: str, stagedoor: Stagedoor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.backup.dump.LOCK_TIMEOUT_MS", 300)
    rows(sold, "CREATE SCHEMA other; CREATE TABLE other.kept (n integer)")
    with psycopg.connect(sold) as connection:
        connection.execute("LOCK TABLE other.kept IN ACCESS EXCLUSIVE MODE")
        refused(stagedoor("backup", tmp_path / "backup"), 1, "pg_dump: error:", "timeout")
        connection.rollback()
        connection.execute("LOCK TABLE accounts IN ACCESS EXCLUSIVE MODE")
        refused(stagedoor("backup", tmp_path / "backup"), 1, "lock timeout")
    assert list(tmp_path.iterdir()) == []


def test_pg_dump_fits_the_server(tmp_path: Path) -> None:
    assert find(tmp_path, 18).major == 18
    assert find(tmp_path, 9).major <= 18
    with pytest.raises(CannotStartError, match=r"the server is PostgreSQL 99, and .*pg_dump is version 18"):
        find(tmp_path, 99)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (None, "pg_dump is not on the PATH"),
        ("echo 'pg_dump (PostgreSQL) 15.7'", "pg_dump is version 15"),
    ],
)
def test_without_a_pg_dump_that_fits_it_says_so(
    script: str | None, said: str, stagedoor: Stagedoor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container image whose programs are missing, or older than the server."""

    def not_installed(_data_dir: Path) -> None:
        raise SettingsError("the embedded PostgreSQL is not installed")

    monkeypatch.setattr("cli.embedded.postgres_cluster.locate", not_installed)
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("pg_dump", "pg_restore") if script else ():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    refused(stagedoor("backup", tmp_path / "backup"), 2, said, "install the client programs of PostgreSQL 18")
    assert not (tmp_path / "backup").exists()


def test_what_is_no_backup(stagedoor: Stagedoor, tmp_path: Path) -> None:
    refused(stagedoor("restore", tmp_path / "nowhere", "--yes"), 2, "is not a backup", "No such file")
    (tmp_path / "manifest.json").write_text("{}")
    refused(stagedoor("restore", tmp_path, "--yes"), 2, "is not a backup this program can read")


def test_a_file_that_was_changed_or_lost(backup: Path, sold: str, stagedoor: Stagedoor) -> None:
    before = databases(sold)
    victim = max((backup / "dump").iterdir(), key=lambda path: path.stat().st_size)
    content = victim.read_bytes()
    victim.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    refused(stagedoor("restore", backup, "--yes"), 1, f"dump/{victim.name} is not what was written")
    victim.unlink()
    refused(stagedoor("restore", backup, "--yes"), 1, f"dump/{victim.name} cannot be read")
    assert databases(sold) == before


def test_a_backup_of_a_newer_program(backup: Path, stagedoor: Stagedoor) -> None:
    migrations = manifest_of(backup)["database"]["migrations"]
    change_manifest(backup, migrations=[*migrations, "adapters.schema/9999_from_the_future.sql"])
    refused(stagedoor("restore", backup, "--yes"), 2, "newer Stagedoor", "9999_from_the_future.sql is unknown here")


def test_nothing_is_restored_under_somebodys_feet(backup: Path, sold: str, stagedoor: Stagedoor) -> None:
    with psycopg.connect(sold, application_name="somebody's psql") as connection:
        pid = connection.info.backend_pid
        refused(stagedoor("restore", backup, "--yes"), 2, "is in use by somebody's psql", f"server process {pid}")


def test_nothing_is_restored_without_being_told(backup: Path, sold: str, stagedoor: Stagedoor) -> None:
    before = databases(sold)
    refused(stagedoor("restore", backup), 2, "nothing was done: say --yes")
    assert databases(sold) == before


@pytest.mark.parametrize("damage", ["another number of events", "a dump that pg_restore cannot read"])
def test_a_restore_that_fails_changes_nothing(damage: str, backup: Path, sold: str, stagedoor: Stagedoor) -> None:
    sell(sold, 1)
    before, names = everything(sold), databases(sold)
    if damage == "another number of events":
        change_manifest(backup, rows={**manifest_of(backup)["database"]["rows"], "stored_events": 1})
        expected = "the number of rows in stored_events is"
    else:
        victim = max((backup / "dump").glob("*.dat.gz"), key=lambda path: path.stat().st_size)
        victim.write_bytes(b"\x1f\x8b" + bytes(50))
        manifest = manifest_of(backup)
        entry = {"bytes": 52, "sha256": hashlib.sha256(victim.read_bytes()).hexdigest()}
        manifest["files"][f"dump/{victim.name}"] = entry
        (backup / "manifest.json").write_text(json.dumps(manifest))
        expected = "pg_restore: error:"
    refused(stagedoor("restore", backup, "--yes"), 1, expected)
    assert everything(sold) == before
    assert databases(sold) == names


def test_roles(backup: Path, sold: str, server_url: str, stagedoor: Stagedoor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A role that may not make databases is told what to do; a superuser's restore leaves the owner as it was."""
    role = f"r{uuid4().hex[:8]}"
    name = sql.Identifier(name_of(sold))
    with psycopg.connect(server_url, autocommit=True) as server:
        server.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
        server.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(name, sql.Identifier(role)))
        rows(sold, f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
        rows(sold, f"GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO {role}")
        monkeypatch.setenv("DATABASE_URL", urlunsplit(urlsplit(sold)._replace(netloc=f"{role}@")))
        refused(stagedoor("restore", backup, "--yes"), 2, f"the role {role} may not make a database", "CREATEDB")
        monkeypatch.setenv("DATABASE_URL", sold)
        assert stagedoor("restore", backup, "--yes").code == 0
        owners = rows(sold, "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'")
        assert owners == [(role,)]
        owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"
        assert rows(sold, owner) == owners
        server.execute(sql.SQL("ALTER DATABASE {} OWNER TO postgres").format(name))
