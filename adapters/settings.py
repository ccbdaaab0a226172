"""Every setting Stagedoor has, read once from the environment. Nothing else reads `os.environ`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from urllib.parse import urlsplit

MAX_HOLD_SECONDS = 24 * 3600
"""A hold longer than a day would be a way to take a listing off the market."""

MAX_API_PROCESSES = 64

MAX_HELD_PER_BUYER, DEFAULT_HELD_PER_BUYER = 1_000_000, 100
"""Units of one listing. By default as many as the largest order has, so that every order that is allowed fits once; at
most as many as a listing may have."""


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
    kafka_libs: Path | None = None
    """Where Apache Kafka's jars are kept instead of in the data folder, so that several folders can share them."""
    heartbeat_file: Path | None = None
    """Touched by a relay or worker as long as it turns; for a health check beside it."""
    max_held_per_buyer: int = DEFAULT_HELD_PER_BUYER
    """Units of one listing that one buyer may hold unpaid at a time; 0: no cap."""
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    """Who may say whose request it forwards."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Reads and checks every setting.

        Raises:
            SettingsError: names the variable, what it holds and what is expected.
        """
        env = os.environ if environment is None else environment
        return cls(
            host=env.get("STAGEDOOR_HOST") or "127.0.0.1",
            port=_whole_number(env, "STAGEDOOR_PORT", 8080, 1, 65_535),
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
            kafka_libs=_path(env, "STAGEDOOR_KAFKA_LIBS"),
            heartbeat_file=_path(env, "STAGEDOOR_HEARTBEAT_FILE"),
            max_held_per_buyer=_whole_number(
                env, "STAGEDOOR_MAX_HELD_PER_BUYER", DEFAULT_HELD_PER_BUYER, 0, MAX_HELD_PER_BUYER
            ),
            trusted_proxies=_networks(env, "STAGEDOOR_TRUSTED_PROXIES"),
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
            "STAGEDOOR_KAFKA_LIBS": str(self.kafka_libs or ""),
            "STAGEDOOR_HEARTBEAT_FILE": str(self.heartbeat_file or ""),
            "STAGEDOOR_MAX_HELD_PER_BUYER": str(self.max_held_per_buyer),
            "STAGEDOOR_TRUSTED_PROXIES": ",".join(str(network) for network in self.trusted_proxies),
        }


def required(value: str | None, name: str) -> str:
    """The value, or a `SettingsError` that says which variable is missing."""
    if not value:
        raise SettingsError(f"{name} is not set, and no running `stagedoor up` was found for it")
    return value


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
