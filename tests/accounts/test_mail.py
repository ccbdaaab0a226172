"""Handing letters over: to a real SMTP conversation, and into the outbox."""

from __future__ import annotations

import asyncio
import stat
import time
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import quote

import pytest

from adapters import mail
from adapters.mail import MailUnavailable, Outbox, SmtpMail, Undeliverable
from adapters.mail_server import MailServer, parse_mail_server
from adapters.settings import Settings, SettingsError
from api.letter_texts import letter
from domain.records import LetterKind
from tests.accounts.smtp_double import PASSWORD, USER, SmtpDouble, make_certificate, smtp_double
from tests.api.house import eventually

TOKEN = "t" * 43


def written(recipient: str = "ann@example.org", kind: LetterKind = "verify_email") -> EmailMessage:
    url = "https://tickets.example.org/with/a/path/that/makes/the/line/longer/than/most"
    return letter(kind, recipient, sender="Tickets <no-reply@example.org>", public_url=url, token=TOKEN)


def at(double: SmtpDouble, more: str = "?starttls=off", scheme: str = "smtp") -> SmtpMail:
    return SmtpMail(parse_mail_server(f"{scheme}://127.0.0.1:{double.port}{more}"), "example.org")


async def test_a_letter_arrives_with_its_link_whole() -> None:
    async with smtp_double(SmtpDouble()) as double:
        await at(double).send(written())
    recipient, text = double.taken[0]
    assert recipient == "ann@example.org"
    assert f"/most/#verify={TOKEN}\r\n" in text
    assert "Auto-Submitted: auto-generated" in text
    assert max(len(line) for line in text.splitlines()) < 998


async def test_with_starttls_nothing_but_hello_goes_in_the_clear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusted, context = make_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    async with smtp_double(SmtpDouble(tls=context)) as double:
        url = f"smtp://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:{double.port}"
        await SmtpMail(parse_mail_server(url), "example.org").send(written())
    assert double.signed_in == [f"\0{USER}\0{PASSWORD}"]
    assert len(double.taken) == 1
    assert double.in_the_clear == ["EHLO", "STARTTLS"]


async def test_a_server_without_tls_or_with_a_strange_certificate_gets_nothing(tmp_path: Path) -> None:
    _, context = make_certificate(tmp_path)
    for double in (SmtpDouble(offers_starttls=False), SmtpDouble(tls=context)):
        async with smtp_double(double):
            with pytest.raises(MailUnavailable):
                await at(double, more="").send(written())
        assert not double.taken


@pytest.mark.parametrize(("status", "raised"), [(550, Undeliverable), (450, MailUnavailable)])
async def test_what_is_refused_for_good_is_told_from_what_is_not(status: int, raised: type[Exception]) -> None:
    async with smtp_double(SmtpDouble(refuses=status)) as double:
        with pytest.raises(raised) as said:
            await at(double).send(written())
    assert "ann@example.org" not in str(said.value)


async def test_a_server_that_is_away_or_hangs_is_waited_for_within_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail, "STEP_SECONDS", 0.2)
    async with smtp_double(SmtpDouble(hangs=True)) as double:
        started = time.monotonic()
        with pytest.raises(MailUnavailable):
            await at(double).send(written())
        assert time.monotonic() - started < 2.0
    with pytest.raises(MailUnavailable):
        await at(double).send(written())


@pytest.mark.parametrize(
    ("recipient", "to"),
    [("ann@bücher.example", "ann@xn--bcher-kva.example"), ("o'neil+x@example.org", "o'neil+x@example.org")],
)
async def test_any_address_there_can_be_gets_its_letter(recipient: str, to: str) -> None:
    async with smtp_double(SmtpDouble()) as double:
        await at(double).send(written(recipient))
    assert double.taken[0][0] == to


async def test_an_address_that_server_cannot_take_is_undeliverable_or_waits() -> None:
    async with smtp_double(SmtpDouble()) as double:
        with pytest.raises((MailUnavailable, Undeliverable)):
            await at(double).send(written("josé@example.org"))
    assert not double.taken


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail.example.org", MailServer("mail.example.org", 587, None, "", False, True)),
        ("smtps://a%40b:p%2Fw@mail.example.org", MailServer("mail.example.org", 465, "a@b", "p/w", True, False)),
        ("smtp://[::1]:25?starttls=off", MailServer("::1", 25, None, "", False, False)),
    ],
)
def test_the_address_of_a_mail_server(url: str, server: MailServer) -> None:
    assert parse_mail_server(url) == server
    assert "p/w" not in repr(server)


@pytest.mark.parametrize(
    "url",
    [
        "mail.example.org",
        "http://x",
        "smtp://",
        "smtp://x:port",
        "smtp://x/path",
        "smtp://x?tls=no",
        "smtp://x?starttls=maybe",
    ],
)
def test_what_is_none_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(SettingsError, match="STAGEDOOR_SMTP_URL") as said:
        Settings.from_environment({"STAGEDOOR_SMTP_URL": url.replace("//", "//user:secret@")})
    assert "secret" not in str(said.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("STAGEDOOR_MAIL_FROM", "nobody"),
        ("STAGEDOOR_MAIL_FROM", "a@example.org\nBcc: b@example.org"),
        ("STAGEDOOR_PUBLIC_URL", "tickets.example.org"),
        ("STAGEDOOR_PUBLIC_URL", "https://tickets.example.org/#x"),
        ("STAGEDOOR_VERIFIED_EMAIL", "yes"),
    ],
)
def test_settings_that_cannot_be_are_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        Settings.from_environment({name: value})


def test_settings_of_mail_pass_to_the_parts_as_they_are() -> None:
    plain = Settings.from_environment({"STAGEDOOR_HOST": "0.0.0.0", "STAGEDOOR_PORT": "9000"})
    assert (plain.public_url, plain.mail_server, plain.verified_email) == ("http://127.0.0.1:9000", None, False)
    given = Settings.from_environment(
        {
            "STAGEDOOR_SMTP_URL": "smtp://u:p@mail.example.org",
            "STAGEDOOR_MAIL_FROM": "Tickets <t@example.org>",
            "STAGEDOOR_PUBLIC_URL": "https://tickets.example.org/",
            "STAGEDOOR_VERIFIED_EMAIL": "required",
        }
    )
    assert given.public_url == "https://tickets.example.org"
    assert Settings.from_environment(given.as_environment()) == given


async def test_the_outbox_is_for_its_owners_eyes_and_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail, "MAX_FILES", 3)
    outbox = Outbox(tmp_path / "outbox")
    for number in range(5):
        await outbox.send(written(f"ann-{number}@example.org"))
    files = sorted((tmp_path / "outbox").iterdir())
    assert [path.suffix for path in files] == [".eml"] * 3
    assert b"ann-4@example.org" in files[-1].read_bytes()
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert stat.S_IMODE((tmp_path / "outbox").stat().st_mode) == 0o700


async def test_an_outbox_that_cannot_be_written_is_a_reason(tmp_path: Path) -> None:
    (tmp_path / "outbox").write_text("in the way")
    with pytest.raises(MailUnavailable, match="outbox cannot be written"):
        await Outbox(tmp_path / "outbox").send(written())


async def test_a_process_that_ends_does_not_wait_for_a_server_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail, "STEP_SECONDS", 30.0)
    double = SmtpDouble()
    async with smtp_double(double):
        way = at(double)
        monkeypatch.setattr(way, "_hand_over", lambda connection, _: connection.getreply())
        sending = asyncio.create_task(way.send(written()))

        async def talking() -> bool:
            return bool(way._talking)

        assert await eventually(talking)
        started = time.monotonic()
        way.close()
        with pytest.raises(MailUnavailable):
            await sending
        assert time.monotonic() - started < 2.0
