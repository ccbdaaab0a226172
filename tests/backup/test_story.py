"""The story as it is lived: `stagedoor up`, a backup, more orders, the older state restored, and on it goes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.up import Up, eventually


@pytest.fixture
def up(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    for command in ("java", "mvn"):
        if shutil.which(command) is None:
            assert not os.environ.get("CI"), f"{command} is required where CI runs"
            pytest.skip(f"{command} is not on this machine")
    libs = os.environ.get("STAGEDOOR_KAFKA_LIBS") or str(tmp_path_factory.getbasetemp() / "kafka-libs")
    started = Up(tmp_path / "data", "apache", STAGEDOOR_KAFKA_LIBS=libs)
    started.start()
    yield started
    started.ensure_ended()


def sign_in(up: Up, how: str, name: str) -> str:
    body = {"email": f"{name}@example.org", "password": "correct horse"}
    answer = up.call("POST", f"/api/users/{how}", body | ({"name": name} if how == "signup" else {}))
    token: str = answer.body["access_token"]
    return token


def sold(up: Up, ticket_id: str) -> Any:
    items = up.call("GET", "/api/tickets").body["items"]
    return next((item["sold"] for item in items if item["id"] == ticket_id), None)


def buy(up: Up, buyer: str, ticket_id: str, total: int) -> None:
    """One more, and until the read model shows it."""
    order = up.order(buyer, ticket_id)
    assert order.status == 201, order
    assert up.pay(buyer, order.body["id"]).status == 201
    eventually(lambda: sold(up, ticket_id), lambda count: count == total)


@pytest.mark.long
def test_an_older_backup_is_restored_and_all_is_well_again(up: Up, tmp_path: Path) -> None:
    buyer = sign_in(up, "signup", "buyer")
    ticket_id = up.list_ticket(up.sign_up("seller"))
    buy(up, buyer, ticket_id, 1)
    backup = up.command("backup", str(tmp_path / "backup"))
    assert backup.returncode == 0, backup.stderr
    buy(up, buyer, ticket_id, 2)
    late = up.sign_up("late")
    refused = up.command("restore", str(tmp_path / "backup"), "--yes")
    assert (refused.returncode, "`stagedoor up`" in refused.stderr) == (2, True), refused.stderr
    assert up.stop() == 0

    restored = up.command("restore", str(tmp_path / "backup"), "--yes")
    assert restored.returncode == 0, restored.stderr
    assert "stagedoor repair" in restored.stdout
    found = up.command("repair")
    assert (found.returncode, "Kafka tells what did not happen" in found.stdout) == (1, True), found
    repaired = up.command("repair", "--yes")
    assert repaired.returncode == 0, repaired.stderr
    assert "the topics were made again" in repaired.stdout

    up.start()
    assert sold(up, ticket_id) == 1
    assert up.order(late, ticket_id).status == 401, "there is no such account any more"
    buy(up, sign_in(up, "signin", "buyer"), ticket_id, 2)
    verified = up.command("verify")
    assert verified.returncode == 0, verified.stdout
