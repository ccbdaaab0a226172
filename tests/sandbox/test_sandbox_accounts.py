"""Connected accounts and the page where a person completes theirs."""

from __future__ import annotations

import re
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import stripe
from aiohttp.test_utils import TestClient, TestServer

from sandbox import account_links
from sandbox.server import make_app
from tests.sandbox.harness import SECRET_KEY, WEBHOOK_SECRET, Endpoint, Sandbox, error_of, wait_until

CONTROLLER = {
    "fees": {"payer": "application"},
    "losses": {"payments": "application"},
    "requirement_collection": "stripe",
    "stripe_dashboard": {"type": "express"},
}
TRANSFERS = {"capabilities": {"transfers": {"requested": True}}}
RETURN, REFRESH = "http://127.0.0.1:9/back?a=1", "http://127.0.0.1:9/again"


def new_account(sandbox: Sandbox, **more: Any) -> stripe.Account:
    parameters: Any = {"type": "express", **TRANSFERS, **more}
    return sandbox.stripe.v1.accounts.create(parameters)


def new_link(sandbox: Sandbox, account_id: str) -> stripe.AccountLink:
    return sandbox.stripe.v1.account_links.create(
        {"account": account_id, "refresh_url": REFRESH, "return_url": RETURN, "type": "account_onboarding"}
    )


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Leaves the redirect to the test."""


def browse(url: str, form: dict[str, str] | None = None, method: str | None = None) -> tuple[int, str | None, str]:
    """Status, where it sends the browser, and the page."""
    data = urllib.parse.urlencode(form).encode() if form is not None else None
    try:
        with urllib.request.build_opener(_Stay).open(urllib.request.Request(url, data, method=method)) as answer:
            assert "script" not in answer.headers["Content-Security-Policy"]
            return answer.status, None, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Location"], error.read().decode()


def test_an_account_of_the_older_shape(sandbox: Sandbox) -> None:
    account = new_account(
        sandbox, country="FR", email="seller@example.com", business_type="individual", metadata={"user_id": "7"}
    )
    assert account.id.startswith("acct_")
    assert (account.object, account.type, account.country) == ("account", "express", "FR")
    assert (account.default_currency, account.email, account.business_type) == (
        "eur",
        "seller@example.com",
        "individual",
    )
    assert (account.charges_enabled, account.payouts_enabled, account.details_submitted) == (False, False, False)
    assert account.capabilities is not None
    assert account.capabilities.to_dict() == {"transfers": "inactive"}
    assert account.requirements is not None
    assert account.requirements.disabled_reason == "requirements.past_due"
    assert "external_account" in (account.requirements.currently_due or [])
    assert account.metadata is not None
    assert account.metadata.to_dict() == {"user_id": "7"}
    assert account.controller is not None
    assert account.controller.stripe_dashboard is not None
    assert account.controller.stripe_dashboard.type == "express"
    assert sandbox.stripe.v1.accounts.retrieve(account.id).to_dict() == account.to_dict()
    assert sandbox.stripe.v1.accounts.list({"limit": 1}).data[0].id == account.id


def test_an_account_by_its_controller(sandbox: Sandbox) -> None:
    parameters: Any = {"controller": CONTROLLER, **TRANSFERS}
    account = sandbox.stripe.v1.accounts.create(parameters)
    assert account.type == "none"
    assert account.controller is not None
    assert account.controller.to_dict() == {**CONTROLLER, "is_controller": True, "type": "application"}
    assert account.country == "DE"


@pytest.mark.parametrize(
    ("form", "code", "param"),
    [
        ({"type": "premium"}, None, "type"),
        ({"type": "express", "controller[fees][payer]": "application"}, None, None),
        ({"controller[fees][payer]": "nobody"}, None, "controller[fees][payer]"),
        ({"controller[requirement_collection]": "nobody"}, None, "controller[requirement_collection]"),
        ({"controller[colour]": "red"}, "parameter_unknown", "controller[colour]"),
        ({"controller[fees][colour]": "red"}, "parameter_unknown", "controller[fees][colour]"),
        ({"country": "Germany"}, "country_code_invalid", "country"),
        ({"country": "KP"}, "country_unsupported", "country"),
        ({"email": "seller"}, "email_invalid", "email"),
        ({"business_type": "band"}, None, "business_type"),
        ({"capabilities[transfers][requested]": "maybe"}, None, "capabilities[transfers][requested]"),
        ({"capabilities[flying][requested]": "true"}, "parameter_unknown", "capabilities[flying][requested]"),
        ({"tos_acceptance[date]": "1"}, "parameter_unknown", "tos_acceptance"),
    ],
)
def test_bad_accounts(sandbox: Sandbox, form: dict[str, str], code: str | None, param: str | None) -> None:
    before = sandbox.state()["accounts"]
    answer = sandbox.call("POST", "/v1/accounts", form)
    error = answer.body["error"]
    assert (answer.status, error.get("code"), error.get("param")) == (400, code, param)
    assert sandbox.state()["accounts"] == before


def test_an_account_of_nobody_is_not_to_be_seen(sandbox: Sandbox) -> None:
    with pytest.raises(stripe.PermissionError) as refused:
        sandbox.stripe.v1.accounts.retrieve("acct_nothing")
    assert (error_of(refused).code, refused.value.http_status) == ("account_invalid", 403)


def test_a_person_completes_their_account(sandbox: Sandbox, endpoint: Endpoint) -> None:
    account = new_account(sandbox)
    link = new_link(sandbox, account.id)
    assert (link.object, link.expires_at - link.created) == ("account_link", 300)
    assert link.url.startswith(f"{sandbox.url}/_sandbox/onboarding/")
    assert browse(link.url, method="HEAD")[0] == 405  # looking at a link does not use it up

    status, _, page = browse(link.url)
    assert (status, account.id in page, "<script" in page) == (200, True, False)
    visit = re.search(r'name="visit" value="([^"]+)"', page)
    assert visit is not None
    assert sandbox.stripe.v1.accounts.retrieve(account.id).details_submitted is False
    assert browse(link.url, {"visit": "of somebody else"})[:2] == (303, REFRESH)
    assert browse(link.url, {"visit": visit[1]})[:2] == (303, RETURN)

    done = sandbox.stripe.v1.accounts.retrieve(account.id)
    assert (done.charges_enabled, done.payouts_enabled, done.details_submitted) == (True, True, True)
    assert done.capabilities is not None
    assert done.capabilities.to_dict() == {"transfers": "active"}
    assert done.requirements is not None
    assert (done.requirements.currently_due, done.requirements.disabled_reason) == ([], None)
    assert browse(link.url)[:2] == (303, REFRESH)
    assert browse(link.url, {"visit": visit[1]})[:2] == (303, REFRESH)

    wait_until(lambda: any(account.id in str(r) for r in endpoint.received), "account.updated arrives")
    [received] = [r for r in endpoint.received if account.id in str(r)]
    event = stripe.Webhook.construct_event(received.body, received.signature, WEBHOOK_SECRET)
    assert (event.type, event.account) == ("account.updated", account.id)
    assert received.event["data"]["object"]["payouts_enabled"] is True
    assert received.event["data"]["previous_attributes"]["capabilities"] == {"transfers": "inactive"}


def test_a_link_is_good_for_one_visit(sandbox: Sandbox) -> None:
    link = new_link(sandbox, new_account(sandbox).id)
    assert browse(link.url)[0] == 200
    assert browse(link.url)[:2] == (303, REFRESH)
    assert browse(link.url, {"visit": ""})[:2] == (303, REFRESH)
    unopened = new_link(sandbox, new_account(sandbox).id)
    assert browse(unopened.url, {})[:2] == (303, REFRESH)
    assert browse(f"{sandbox.url}/_sandbox/onboarding/nothing")[0] == 404


async def test_a_link_is_good_for_five_minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = make_app(state_path=tmp_path / "s", secret_key=SECRET_KEY, webhook_url=None, webhook_secret="whsec_1")
    headers = {"Authorization": f"Bearer {SECRET_KEY}"}
    begun = time.time()
    form = {"refresh_url": REFRESH, "return_url": RETURN, "type": "account_onboarding"}
    async with TestClient(TestServer(app)) as client:
        async with client.post("/v1/accounts", data={"type": "express"}, headers=headers) as answer:
            form["account"] = (await answer.json())["id"]
        urls = []
        for _ in range(3):
            async with client.post("/v1/account_links", data=form, headers=headers) as answer:
                urls.append(urllib.parse.urlsplit((await answer.json())["url"]).path)

        async def status_after(seconds: float, url: str) -> int:
            monkeypatch.setattr(time, "time", lambda: begun + seconds)
            async with client.get(url, allow_redirects=False) as answer:
                return answer.status

        assert await status_after(account_links.GOOD_SECONDS - 2, urls[0]) == 200
        assert await status_after(account_links.GOOD_SECONDS + 2, urls[1]) == 303
        monkeypatch.setattr(time, "time", lambda: begun + account_links.KEPT_SECONDS + 2)
        async with client.post("/v1/account_links", data=form, headers=headers) as answer:
            assert answer.status == 200
        assert await status_after(account_links.KEPT_SECONDS + 3, urls[2]) == 404


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"account": "acct_nothing"}, "resource_missing", "account"),
        ({"return_url": "javascript:alert(1)"}, "url_invalid", "return_url"),
        ({"refresh_url": "http://[::1"}, "url_invalid", "refresh_url"),
        ({"refresh_url": "http://a/\r\nSet-Cookie: b"}, "url_invalid", "refresh_url"),
        ({"type": "account_update"}, None, "type"),
        ({"collect": "eventually_due"}, "parameter_unknown", "collect"),
    ],
)
def test_bad_links(sandbox: Sandbox, change: dict[str, str], code: str | None, param: str) -> None:
    good = {"account": new_account(sandbox).id, "refresh_url": REFRESH, "return_url": RETURN}
    answer = sandbox.call("POST", "/v1/account_links", good | {"type": "account_onboarding"} | change)
    error = answer.body["error"]
    assert (answer.status, error.get("code"), error["param"]) == (400, code, param)
    assert sandbox.call("POST", "/v1/account_links", good).body["error"]["code"] == "parameter_missing"


def test_a_test_completes_an_account_with_no_page(sandbox: Sandbox) -> None:
    account = new_account(sandbox)
    for _ in range(2):
        answer = sandbox.call("POST", f"/_sandbox/accounts/{account.id}/onboard", {})
        assert (answer.status, answer.body["capabilities"]) == (200, {"transfers": "active"})
    newest = sandbox.stripe.v1.events.list({"type": "account.updated", "limit": 100}).data
    assert sum(event.account == account.id for event in newest) == 1
    assert sandbox.call("POST", "/_sandbox/accounts/acct_nothing/onboard", {}).status == 404
