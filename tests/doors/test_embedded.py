"""`stagedoor up` as it is started: nothing listens but on loopback, nothing can be read but by its owner."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from tests.e2e.listeners import listening_addresses, open_to_others, tree_of
from tests.e2e.up import Up

SECRETS = ("running.json", "sandbox/keys.json", "sandbox/state.sqlite3")


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """Under the most careless umask there is."""
    before = os.umask(0o000)
    try:
        started = Up(tmp_path_factory.mktemp("embedded") / "data", "builtin")
        started.start()
    finally:
        os.umask(before)
    yield started
    started.ensure_ended()


def test_every_server_is_on_loopback_or_a_socket(up: Up) -> None:
    pid = json.loads((up.data_dir / "running.json").read_text())["pid"]
    found = listening_addresses(tree_of(pid))
    assert ("127.0.0.1", up.port) in found
    assert {ip_address(address) for address, _ in found if not ip_address(address).is_loopback} == set(), found
    assert len(found) >= 3, "the API, the broker and the sandbox are reached by TCP"


def test_secrets_are_their_owners_alone(up: Up) -> None:
    for name in SECRETS:
        path = up.data_dir / name
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    for folder in (up.data_dir / "sandbox", up.data_dir / "logs", up.data_dir / "postgres"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700, folder


def test_another_user_of_the_machine_reads_nothing(up: Up) -> None:
    assert open_to_others(up.data_dir) == []


def test_the_parts_were_not_told_their_secrets_where_others_can_read(up: Up) -> None:
    """Every user of a machine sees the command lines of all processes."""
    keys = json.loads((up.data_dir / "sandbox/keys.json").read_text()).values()
    for pid in tree_of(json.loads((up.data_dir / "running.json").read_text())["pid"]):
        try:
            line = Path(f"/proc/{pid}/cmdline").read_text()
        except OSError:
            continue
        assert not any(key in line for key in keys), line
