"""Logs carry ids: a whole story in a real process, at its most talkative, leaves nothing of anybody in them."""

from __future__ import annotations

import asyncio
import io
import logging
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import psycopg
import pytest
from aiohttp.test_utils import unused_port

from adapters.logs import JsonLines
from tests.api.house import EVENT, running_sandbox, settings_of
from tests.api.test_api_server import SCRIPT, process, wait_until_listening
from tests.privacy.searching import EMAIL, NAME, NEEDLE, PASSWORD

TALKATIVE = f"""
import asyncio, logging
import psycopg
from adapters import accounts, logs
configure = logs.configure
logs.configure = lambda: configure(logging.DEBUG)
QUOTED = "DETAIL: Key (email)=({EMAIL}) already exists, password {PASSWORD}, name {NAME}"
async def quoting_driver(self, session_id):
    logging.getLogger("a.library").debug("asked for {EMAIL}")
    async def forgotten():
        raise psycopg.errors.UniqueViolation(QUOTED)
    asyncio.get_running_loop().create_task(forgotten())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    raise RuntimeError(QUOTED)
accounts.Accounts.end_session = quoting_driver
"""
BODY_FRAGMENT = "marzipan-fragment"
WEBHOOK_FRAGMENT = "whk-fragment"


async def test_a_whole_story_leaves_nothing_of_anybody(database_url: str, tmp_path: Path) -> None:
    async with running_sandbox(tmp_path / "sandbox.sqlite3") as sandbox_url:
        settings = settings_of(database_url, tmp_path, port=unused_port(), stripe_api_base=sandbox_url)
        with process(settings, TALKATIVE + SCRIPT) as child:
            wait_until_listening(settings.port, child)
            secrets = await _live(f"http://127.0.0.1:{settings.port}")
            child.terminate()
            assert child.stderr is not None
            said = child.stderr.read().decode()
            assert child.wait(15) == 0
    lines = [msgspec.json.decode(line) for line in said.splitlines()]
    assert {"debug", "info", "error"} <= {line["level"] for line in lines}
    # The faults were told, by their kinds and by what they belong to.
    assert any("RuntimeError" in line["message"] and line["message"].startswith("request ") for line in lines)
    assert any(line.get("error") == "UniqueViolation" for line in lines)
    for secret in (*secrets, PASSWORD, NAME, EMAIL, NEEDLE, BODY_FRAGMENT, WEBHOOK_FRAGMENT):
        assert secret.lower() not in said.lower(), secret


async def _live(url: str) -> list[str]:
    """What people do, well and badly; returns the secrets they were given."""
    async with aiohttp.ClientSession() as session:

        async def call(method: str, path: str, body: Any = None, token: str | None = None, **more: Any) -> Any:
            headers = more.pop("headers", {}) | ({} if token is None else {"Authorization": f"Bearer {token}"})
            async with session.request(method, f"{url}/api{path}", json=body, headers=headers, **more) as answer:
                return answer.status, await answer.json(content_type=None)

        sign_up = {"email": EMAIL, "password": PASSWORD, "name": NAME}
        status, ann = await call("POST", "/users/signup", sign_up, headers={"Idempotency-Key": "k"})
        assert status == 201
        token = ann["access_token"]
        assert (await call("POST", "/users/signup", sign_up))[0] == 409
        assert (await call("POST", "/users/signin", {"email": EMAIL, "password": PASSWORD + "!"}))[0] == 401
        for bad in (token + "x", token[:-5], "rubbish", ann["refresh_token"]):
            assert (await call("GET", "/orders", token=bad))[0] == 401
        assert (await call("POST", "/users/refresh", {"refresh_token": ann["refresh_token"] + "x"}))[0] == 401
        # That has ended the session.
        ann = (await call("POST", "/users/signin", {"email": EMAIL, "password": PASSWORD}))[1]
        token = ann["access_token"]
        bodies: list[Any] = [sign_up | {BODY_FRAGMENT: 1}, {"email": [EMAIL], "password": PASSWORD}, [BODY_FRAGMENT]]
        for body in bodies:
            assert (await call("POST", "/users/signup", body))[0] == 422
        raw = {"data": f'{{"{BODY_FRAGMENT}", {EMAIL}'.encode(), "headers": {"Content-Type": "application/json"}}
        assert (await call("POST", "/users/signup", **raw))[0] == 400
        assert (await call("POST", "/users/signup", data=raw["data"] * 10_000))[0] == 413
        signed = {"headers": {"Stripe-Signature": "t=1,v1=00"}, "data": f'{{"x": "{WEBHOOK_FRAGMENT}"}}'.encode()}
        assert (await call("POST", "/webhooks/stripe", **signed))[0] == 400
        assert (await call("GET", f"/tickets/{EMAIL}"))[0] == 404
        assert (await call("GET", "/tickets", params={"cursor": EMAIL}))[0] == 422

        seller = (await call("POST", "/users/signup", sign_up | {"email": "s@privacy.example"}))[1]["access_token"]
        listing = {"title": "x", "event": EVENT, "price": {"amount": 100, "currency": "EUR"}, "quantity": 2}
        ticket = (await call("POST", "/tickets", listing, seller))[1]
        order = (await call("POST", "/orders", {"items": [{"ticket_id": ticket["id"], "quantity": 1}]}, token))[1]
        declined = {"order_id": order["id"], "payment_method": "pm_card_visa_chargeDeclined"}
        assert (await call("POST", "/payments", declined, token))[0] == 402
        status, paid = await call(
            "POST", "/payments", {"order_id": order["id"], "payment_method": "pm_card_visa"}, token
        )
        assert status == 201
        assert (await call("POST", "/users/signout", token=token))[0] == 500
        # Not HTTP at all.
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(f"GET /{EMAIL} {PASSWORD}\r\n\r\n".encode())
        await reader.read()
        writer.close()
        return [token, ann["refresh_token"], seller, paid["client_secret"], "sk_test_house", "whsec_house"]


@pytest.mark.parametrize(
    "secret",
    [
        "zoe@example.org",
        "zoë.o'neil+x@sub.example.co",
        "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
        "01a1f90e-0c91-782d-870e-1fd7f9e56040.9Zk3YyKqXo0o7cY2h8mYc1y5D2h0f5mC9tq9cZb1aXQ",
        "whsec_0123456789abcdef",
        "sk_test_0123456789",
        "pi_8Dl986fm_secret_d5Wg1RkypqGOPf626z",
    ],
)
def test_what_a_library_says_is_blotted_out(secret: str) -> None:
    said = format_line("asked with %s, refused", secret)
    assert said["message"] == "asked with ***, refused"


def test_a_url_keeps_all_but_the_password() -> None:
    said = format_line("no answer from postgresql://sam:secret@db:5432/stagedoor")
    assert "secret" not in said["message"]
    assert "db:5432/stagedoor" in said["message"]


@pytest.mark.parametrize(
    "text",
    [
        "order 01a1f90e-0e9a-78bd-b88b-43c10213e5f8: refund re_1 is left out",
        "stagedoor.users/3 ends at 7 and was at 9",
        "request 01a1f90e0f337b5d821e73738be2cf07 failed: RuntimeError",
        "the log ends at position 12, but was published up to 15",
    ],
)
def test_ids_stay(text: str) -> None:
    assert format_line(text)["message"] == text


def test_an_exceptions_text_goes_nowhere() -> None:
    try:
        raise psycopg.errors.UniqueViolation(f"Key (email)=({EMAIL}) already exists.")
    except psycopg.Error as error:
        said = format_line("it failed", exc_info=(type(error), error, error.__traceback__))
    assert said["error"] == "UniqueViolation"
    assert "raise psycopg" in said["frames"]
    assert EMAIL not in str(said).replace("({EMAIL})", "")


def format_line(message: str, *arguments: object, exc_info: Any = None) -> Any:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    handler.handle(logging.LogRecord("a.library", logging.INFO, __file__, 1, message, arguments, exc_info))
    return msgspec.json.decode(stream.getvalue())
