"""Every setting Stagedoor has, read once from the environment. Nothing else reads `os.environ`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parseaddr
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import cast, get_args
from urllib.parse import urlsplit

from adapters.mail_server import MailServer, parse_mail_server
from domain.payouts import BASIS_POINTS, Payouts, Terms

MAX_HOLD_SECONDS = 24 * 3600
"""A hold longer than a day would be a way to take a listing off the market."""

MAX_API_PROCESSES = 64

MAX_HELD_PER_BUYER, DEFAULT_HELD_PER_BUYER = 1_000_000, 100
"""Units of one listing. By default as many as the largest order has, so that every order that is allowed fits once; at
most as many as a listing may have."""

DEFAULT_HOST = "127.0.0.1"

MAX_PAYOUT_DELAY_HOURS, DEFAULT_PAYOUT_DELAY_HOURS = 24 * 90, 24
"""After the begin of an event. So long Stripe keeps money for others (docs.stripe.com/connect/manual-payouts)."""

DEFAULT_TERMS = Terms(payouts="after_event", delay=timedelta(hours=DEFAULT_PAYOUT_DELAY_HOURS))


class SettingsError(Exception):
    """A setting is missing or has a bad value; the text is one line for the person who started the program."""


@dataclass(frozen=True)
class Settings:
    """What the environment says. `None` means: the embedded part (see `stagedoor up`)."""

    host: str
    port: int
    data_dir: Path
    api_processes: int
    hold_seconds: int
    broker: str
    """`auto`, `apache` or `builtin`: which embedded broker; unused when `kafka_bootstrap_servers` is set."""
    database_url: str | None
    kafka_bootstrap_servers: str | None
    stripe_secret_key: str | None
    stripe_webhook_secret: str | None
    stripe_api_base: str | None
    rate_limit: bool
    cors_origins: tuple[str, ...]
    process_index: int = 0
    """Which of the API processes that share the port this one is, from 0; set by `stagedoor up`."""
    master_key_file: Path | None = None
    """Where the house key is; by default in the data folder (`adapters/house_key.py`)."""
    kafka_libs: Path | None = None
    """Where Apache Kafka's jars are kept instead of in the data folder, so that several folders can share them."""
    heartbeat_file: Path | None = None
    """Touched by a relay or worker that has begun its work, as long as it turns; for whoever looks after it."""
    max_held_per_buyer: int = DEFAULT_HELD_PER_BUYER
    """Units of one listing that one buyer may hold unpaid at a time; 0: no cap."""
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    """Who may say whose request it forwards."""
    smtp_url: str | None = None
    """The mail server; without one, letters are files in the data folder's `outbox/`."""
    mail_from: str = "Stagedoor <no-reply@localhost>"
    public_url: str = ""
    """Where people reach the house, for the links in letters; without a slash at its end."""
    verified_email: bool = False
    """Whether only accounts with a verified address may list and order."""
    terms: Terms = DEFAULT_TERMS
    """What the house takes of a sale, and when its sellers are paid."""
    stripe_publishable_key: str | None = None
    """What Stripe's card form is opened with; without one the pages use the sandbox's."""

    @property
    def mail_server(self) -> MailServer | None:
        """The mail server of `smtp_url`."""
        return None if self.smtp_url is None else parse_mail_server(self.smtp_url)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Reads and checks every setting.

        Raises:
            SettingsError: names the variable, what it holds and what is expected.
        """
        env = os.environ if environment is None else environment
        return cls(
            host=env.get("STAGEDOOR_HOST") or DEFAULT_HOST,
            port=_port(env),
            data_dir=Path(env.get("STAGEDOOR_DATA_DIR") or ".stagedoor").expanduser().resolve(),
            api_processes=_whole_number(env, "STAGEDOOR_API_PROCESSES", 1, 1, MAX_API_PROCESSES),
            hold_seconds=_whole_number(env, "STAGEDOOR_HOLD_SECONDS", 900, 1, MAX_HOLD_SECONDS),
            broker=_one_of(env, "STAGEDOOR_BROKER", "auto", ("auto", "apache", "builtin")),
            database_url=_url(env, "DATABASE_URL", ("postgresql", "postgres")),
            kafka_bootstrap_servers=env.get("KAFKA_BOOTSTRAP_SERVERS") or None,
            stripe_secret_key=env.get("STRIPE_SECRET_KEY") or None,
            stripe_webhook_secret=env.get("STRIPE_WEBHOOK_SECRET") or None,
            stripe_api_base=_url(env, "STRIPE_API_BASE", ("http", "https")),
            rate_limit=_one_of(env, "STAGEDOOR_RATE_LIMIT", "on", ("on", "off")) == "on",
            cors_origins=tuple(o.strip() for o in env.get("STAGEDOOR_CORS_ORIGINS", "").split(",") if o.strip()),
            process_index=_whole_number(env, "STAGEDOOR_PROCESS_INDEX", 0, 0, MAX_API_PROCESSES - 1),
            master_key_file=_path(env, "STAGEDOOR_MASTER_KEY_FILE"),
            kafka_libs=_path(env, "STAGEDOOR_KAFKA_LIBS"),
            heartbeat_file=_path(env, "STAGEDOOR_HEARTBEAT_FILE"),
            max_held_per_buyer=_whole_number(
                env, "STAGEDOOR_MAX_HELD_PER_BUYER", DEFAULT_HELD_PER_BUYER, 0, MAX_HELD_PER_BUYER
            ),
            trusted_proxies=_networks(env, "STAGEDOOR_TRUSTED_PROXIES"),
            smtp_url=_smtp_url(env, "STAGEDOOR_SMTP_URL"),
            mail_from=_mailbox(env, "STAGEDOOR_MAIL_FROM", cls.mail_from),
            public_url=_public_url(env, "STAGEDOOR_PUBLIC_URL"),
            verified_email=_one_of(env, "STAGEDOOR_VERIFIED_EMAIL", "optional", ("optional", "required")) == "required",
            terms=_terms(env),
            stripe_publishable_key=_publishable_key(env, "STRIPE_PUBLISHABLE_KEY"),
        )

    def as_environment(self) -> dict[str, str]:
        """The same settings as variables, for a child process; `from_environment` reads back an equal object."""
        return {
            "STAGEDOOR_HOST": self.host,
            "STAGEDOOR_PORT": str(self.port),
            "STAGEDOOR_DATA_DIR": str(self.data_dir),
            "STAGEDOOR_API_PROCESSES": str(self.api_processes),
            "STAGEDOOR_HOLD_SECONDS": str(self.hold_seconds),
            "STAGEDOOR_BROKER": self.broker,
            "DATABASE_URL": self.database_url or "",
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka_bootstrap_servers or "",
            "STRIPE_SECRET_KEY": self.stripe_secret_key or "",
            "STRIPE_WEBHOOK_SECRET": self.stripe_webhook_secret or "",
            "STRIPE_API_BASE": self.stripe_api_base or "",
            "STAGEDOOR_RATE_LIMIT": "on" if self.rate_limit else "off",
            "STAGEDOOR_CORS_ORIGINS": ",".join(self.cors_origins),
            "STAGEDOOR_PROCESS_INDEX": str(self.process_index),
            "STAGEDOOR_MASTER_KEY_FILE": str(self.master_key_file or ""),
            "STAGEDOOR_KAFKA_LIBS": str(self.kafka_libs or ""),
            "STAGEDOOR_HEARTBEAT_FILE": str(self.heartbeat_file or ""),
            "STAGEDOOR_MAX_HELD_PER_BUYER": str(self.max_held_per_buyer),
            "STAGEDOOR_TRUSTED_PROXIES": ",".join(str(network) for network in self.trusted_proxies),
            "STAGEDOOR_SMTP_URL": self.smtp_url or "",
            "STAGEDOOR_MAIL_FROM": self.mail_from,
            "STAGEDOOR_PUBLIC_URL": self.public_url,
            "STAGEDOOR_VERIFIED_EMAIL": "required" if self.verified_email else "optional",
            "STAGEDOOR_FEE_BPS": str(self.terms.fee_bps),
            "STAGEDOOR_PAYOUTS": self.terms.payouts,
            "STAGEDOOR_PAYOUT_DELAY_HOURS": str(self.terms.delay // timedelta(hours=1)),
            "STRIPE_PUBLISHABLE_KEY": self.stripe_publishable_key or "",
        }


def required(value: str | None, name: str) -> str:
    """The value, or a `SettingsError` that says which variable is missing."""
    if not value:
        raise SettingsError(f"{name} is not set, and no running `stagedoor up` was found for it")
    return value


def _terms(env: Mapping[str, str]) -> Terms:
    hours = _whole_number(env, "STAGEDOOR_PAYOUT_DELAY_HOURS", DEFAULT_PAYOUT_DELAY_HOURS, 0, MAX_PAYOUT_DELAY_HOURS)
    payouts = _one_of(env, "STAGEDOOR_PAYOUTS", DEFAULT_TERMS.payouts, get_args(Payouts))
    fee_bps = _whole_number(env, "STAGEDOOR_FEE_BPS", DEFAULT_TERMS.fee_bps, 0, BASIS_POINTS)
    return Terms(fee_bps, cast("Payouts", payouts), timedelta(hours=hours))


def _whole_number(env: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = env.get(name) or str(default)
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
        raise SettingsError(f"{name}={text!r}: expected a whole number from {least} to {most}")
    return int(text)


def _one_of(env: Mapping[str, str], name: str, default: str, allowed: tuple[str, ...]) -> str:
    text = env.get(name) or default
    if text not in allowed:
        raise SettingsError(f"{name}={text!r}: expected one of {', '.join(allowed)}")
    return text


def _path(env: Mapping[str, str], name: str) -> Path | None:
    text = env.get(name)
    return Path(text).expanduser().resolve() if text else None


def _networks(env: Mapping[str, str], name: str) -> tuple[IPv4Network | IPv6Network, ...]:
    found = []
    for text in (piece.strip() for piece in env.get(name, "").split(",")):
        if text:
            try:
                found.append(ip_network(text))
            except ValueError as error:
                raise SettingsError(f"{name}={text!r}: expected addresses or networks, as 10.0.0.0/8") from error
    return tuple(found)


def _url(env: Mapping[str, str], name: str, schemes: tuple[str, ...]) -> str | None:
    text = env.get(name) or None
    if text is not None and urlsplit(text).scheme not in schemes:
        raise SettingsError(f"{name} must be a URL that starts with {' or '.join(s + '://' for s in schemes)}")
    return text


def _smtp_url(env: Mapping[str, str], name: str) -> str | None:
    text = env.get(name) or None
    try:
        if text is not None:
            parse_mail_server(text)
    except ValueError as error:
        raise SettingsError(f"{name}: {error}") from None
    return text


def _publishable_key(env: Mapping[str, str], name: str) -> str | None:
    """It is shown to everybody, so a secret key that was put here by mistake is refused, and not repeated."""
    text = env.get(name) or None
    if text is not None and not (text.startswith("pk_") and text.isascii() and text.isprintable()):
        raise SettingsError(f"{name}: expected a key that starts with pk_")
    return text


def _mailbox(env: Mapping[str, str], name: str, default: str) -> str:
    """A sender: an address, or `Name <address>`."""
    text = env.get(name) or default
    local, _, domain = parseaddr(text)[1].rpartition("@")
    if not (local and domain and text.isascii() and text.isprintable()):
        raise SettingsError(f"{name}={text!r}: expected an address or Name <address>, in ASCII")
    return text


def url_of(host: str, port: int) -> str:
    """The API's URL for a client on this machine; an address that means every interface becomes loopback."""
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def _public_url(env: Mapping[str, str], name: str) -> str:
    """As it is set, without a slash at its end; else where the API listens."""
    text = _url(env, name, ("http", "https"))
    if text is None:
        return url_of(env.get("STAGEDOOR_HOST") or DEFAULT_HOST, _port(env))
    parts = urlsplit(text)
    if not parts.hostname or parts.query or parts.fragment or not (text.isascii() and text.isprintable()):
        raise SettingsError(f"{name}={text!r}: expected a URL such as https://tickets.example.org")
    return text.rstrip("/")


def _port(env: Mapping[str, str]) -> int:
    return _whole_number(env, "STAGEDOOR_PORT", 8080, 1, 65_535)
