"""A whole `stagedoor up` as people use it: who was there is in no table, topic or log, and secrets are their owner's.

One marketplace for all of it, since starting one takes some seconds.
"""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.up import Up, eventually
from tests.privacy.searching import EMAIL, NAME, NEEDLE, PASSWORD, columns_with, dump, is_in
from tests.streams.parts import everything_on, is_projected, is_published

pytestmark = pytest.mark.long

SIGN_UP = {"email": EMAIL, "password": PASSWORD, "name": NAME}

PUBLIC = ("kafka/libs", "lock")
"""What in the data folder may be read by anybody: programs of others, and an empty file."""


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    # In pytest's own folder of mode 0700 nothing would be reachable, whatever its mode.
    started = Up(tmp_path_factory.mktemp("private") / "data", "builtin")
    started.start()
    yield started
    started.ensure_ended()


@pytest.fixture(scope="module")
def life(up: Up) -> dict[str, Any]:
    """Somebody signs up, mistypes the password, buys and pays; what they were given."""
    ann = up.call("POST", "/api/users/signup", SIGN_UP, headers={"Idempotency-Key": "k"}).body
    assert up.call("POST", "/api/users/signin", SIGN_UP | {"password": "wrong"}).status == 422
    wrong = {"email": EMAIL, "password": PASSWORD + "!"}
    assert up.call("POST", "/api/users/signin", wrong).status == 401
    assert up.call("GET", "/api/orders", token=ann["access_token"] + "x").status == 401
    assert up.call("POST", "/api/webhooks/stripe", SIGN_UP, headers={"Stripe-Signature": "t=1,v1=0"}).status == 400
    ticket = up.list_ticket(up.sign_up("seller"))
    order = up.order(ann["access_token"], ticket, key="ordering").body
    paid = up.pay(ann["access_token"], order["id"])
    assert paid.status == 201
    database_url = database_of(up)
    eventually(lambda: is_published(database_url) and is_projected(database_url), bool)
    return {"user": ann, "payment": paid.body}


def database_of(up: Up) -> str:
    url: str = json.loads((up.data_dir / "running.json").read_text())["database_url"]
    return url


def on_kafka(up: Up) -> bytes:
    records = asyncio.run(everything_on(up.bootstrap_servers()))
    return b"\n".join((record.value or b"") for found in records.values() for record in found)


def logs(up: Up) -> str:
    return "".join(file.read_text(errors="replace") for file in (up.data_dir / "logs").iterdir())


def assert_nowhere(up: Up) -> None:
    database_url = database_of(up)
    assert columns_with(database_url) == set()
    assert not is_in(dump(database_url, up.data_dir))
    events = on_kafka(up)
    assert b"OrderCompleted" in events
    assert NEEDLE.encode() not in events.lower()


def test_before_and_after_an_erasure_nobody_is_found_anywhere(up: Up, life: dict[str, Any]) -> None:
    token = life["user"]["access_token"]
    assert_nowhere(up)
    found = up.call("GET", "/api/users/currentuser/export", token=token).body
    assert (found["account"]["name"], len(found["orders"])) == (NAME, 1)
    assert up.call("DELETE", "/api/users/currentuser", token=token).status == 204
    database_url = database_of(up)
    eventually(lambda: is_published(database_url) and is_projected(database_url), bool)
    assert_nowhere(up)
    assert life["user"]["user"]["id"].encode() in on_kafka(up), "the events stay"
    verified = up.command("verify")
    assert verified.returncode == 0, verified.stdout


def test_the_logs_tell_nothing_of_anybody(up: Up, life: dict[str, Any]) -> None:
    said = logs(up)
    assert "listening on" in said
    running = json.loads((up.data_dir / "running.json").read_text())
    house_key = (up.data_dir / "secrets" / "house-key").read_text().strip()
    secrets = [running["stripe_secret_key"], running["stripe_webhook_secret"], house_key, PASSWORD, NEEDLE]
    secrets += [life["user"]["access_token"], life["user"]["refresh_token"], life["payment"]["client_secret"]]
    for secret in secrets:
        assert secret.lower() not in said.lower()


def test_secrets_are_for_their_owner_alone(up: Up, life: dict[str, Any]) -> None:
    open_to_others = [path.relative_to(up.data_dir).as_posix() for path in _reachable(up.data_dir)]
    assert [path for path in open_to_others if not path.startswith(PUBLIC)] == []
    modes = {name: (up.data_dir / name).stat().st_mode & 0o777 for name in ("secrets/house-key", "running.json",
             "sandbox/keys.json", "sandbox/state.sqlite3")}  # fmt: skip
    assert set(modes.values()) == {0o600}, modes


def _reachable(folder: Path) -> Iterator[Path]:
    """Files that group or others may read and can get to."""
    for path in folder.iterdir():
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode):
            if mode & 0o011:
                yield from _reachable(path)
        elif stat.S_ISREG(mode) and mode & 0o044:
            yield path
