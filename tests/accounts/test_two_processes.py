"""What ends access ends it within a second on the other process: two real ones, as `stagedoor api` starts them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from api import auth, sessions
from tests.accounts.postbox import RESET, Postbox, token_of
from tests.faults.client import Client
from tests.faults.conftest import StartApi
from tests.streams.parts import rows

PASSWORD = "correct horse battery"

End = Callable[[Client, dict[str, Any]], None]


def sign_out(here: Client, person: dict[str, Any]) -> None:
    assert here.call("POST", "/api/users/signout", token=person["access_token"]).status == 204


def use_a_refresh_token_twice(here: Client, person: dict[str, Any]) -> None:
    body = {"refresh_token": person["refresh_token"]}
    assert [here.call("POST", "/api/users/refresh", body).status for _ in range(2)] == [200, 401]


def change_the_password_elsewhere(here: Client, person: dict[str, Any]) -> None:
    credentials = {"email": person["user"]["email"], "password": PASSWORD}
    elsewhere = here.call("POST", "/api/users/signin", credentials).body["access_token"]
    change = {"password": "another good one", "current_password": PASSWORD}
    assert here.call("PATCH", "/api/users/currentuser", change, elsewhere).status == 200


def erase_the_account(here: Client, person: dict[str, Any]) -> None:
    assert here.call("DELETE", "/api/users/currentuser", token=person["access_token"]).status == 204


ENDS: tuple[End, ...] = (sign_out, use_a_refresh_token_twice, change_the_password_elsewhere, erase_the_account)


def signed_up(client: Client) -> dict[str, Any]:
    body = {"email": f"{uuid4().hex}@example.org", "password": PASSWORD, "name": "Ann"}
    answer = client.call("POST", "/api/users/signup", body)
    assert answer.status == 201, answer
    person: dict[str, Any] = answer.body
    return person


def seconds_until_refused(client: Client, token: str) -> float:
    started = time.monotonic()
    while client.call("GET", "/api/orders", token=token).status != 401:
        assert time.monotonic() - started < 5.0, "it is still good"
        time.sleep(0.02)
    return time.monotonic() - started


def test_access_ends_on_the_other_process_within_a_second(
    start_api: StartApi, database_url: str, postbox: Postbox
) -> None:
    here, there = start_api(), start_api()
    took = {}
    for end in ENDS:
        person = signed_up(here)
        assert there.call("GET", "/api/orders", token=person["access_token"]).status == 200
        end(here, person)
        took[end.__name__] = seconds_until_refused(there, person["access_token"])
    person = signed_up(here)
    email = person["user"]["email"]
    assert there.call("GET", "/api/orders", token=person["access_token"]).status == 200
    assert here.call("POST", "/api/users/password-reset", {"email": email}).status == 202
    give_up_at = time.monotonic() + 5.0
    while not postbox.letters(email, RESET):
        assert time.monotonic() < give_up_at
        time.sleep(0.05)
    body = {"token": token_of(postbox.letters(email, RESET)[0]), "password": "another good one"}
    assert there.call("POST", "/api/users/password-reset/confirm", body).status == 204
    took["reset"] = seconds_until_refused(here, person["access_token"])
    person = signed_up(here)
    rows(database_url, "UPDATE signing_keys SET ended_at = now()")
    took["key"] = max(seconds_until_refused(client, person["access_token"]) for client in (here, there))
    assert max(took.values()) < 3.0, took


def test_they_look_twice_a_second() -> None:
    """What the promise of a second rests on; how late a busy machine may be is bounded more widely."""
    assert max(sessions.POLL_SECONDS, auth.KEYS_POLL_SECONDS) <= 0.5
