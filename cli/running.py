"""How other commands find a running `stagedoor up`, or the data it left."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from adapters.settings import Settings, SettingsError
from cli.embedded import folder

FILE_NAME = "running.json"


@dataclass(frozen=True, kw_only=True)
class Running:
    """What `stagedoor up` tells the others, in `running.json` of its data folder (readable by its owner alone)."""

    pid: int
    url: str
    """Of the API, as a client on this machine writes it."""
    database_url: str
    kafka_bootstrap_servers: str
    stripe_secret_key: str
    stripe_webhook_secret: str
    stripe_api_base: str | None
    parts: dict[str, int]
    """Process ids by part: `postgres`, `broker`, `sandbox`, `relay`, `worker`, `api` (or `api-0`, `api-1` …)."""


def write(data_dir: Path, running: Running) -> None:
    """Replaces `running.json` at once."""
    folder.write_private(data_dir / FILE_NAME, msgspec.json.encode(running).decode())


def remove(data_dir: Path) -> None:
    """Forgets what was running."""
    (data_dir / FILE_NAME).unlink(missing_ok=True)


def read(data_dir: Path) -> Running | None:
    """What `running.json` says, whether that process still lives or not; None without a readable one.

    Raises:
        SettingsError: it belongs to another user.
    """
    try:
        return msgspec.json.decode((data_dir / FILE_NAME).read_bytes(), type=Running)
    except PermissionError as error:
        raise SettingsError(f"{data_dir} belongs to another user; run this as the user who started it") from error
    except (OSError, msgspec.DecodeError):
        return None


def find_running(settings: Settings) -> Running | None:
    """The `stagedoor up` of the same data folder, if one lives now.

    Raises:
        SettingsError: the data folder belongs to another user.
    """
    found = read(settings.data_dir)
    if found is None or not is_alive(found.pid) or not folder.is_locked(settings.data_dir):
        return None
    return found


def resolve(settings: Settings) -> Settings:
    """Fills what the environment leaves open from the running `stagedoor up` of the same data folder, if there is one.

    The Stripe settings go together: one of them from here and one from there would be two different servers.
    """
    found = find_running(settings)
    if found is None:
        return settings
    if settings.stripe_secret_key is None and settings.stripe_api_base is None:
        settings = replace(
            settings,
            stripe_secret_key=found.stripe_secret_key,
            stripe_webhook_secret=found.stripe_webhook_secret,
            stripe_api_base=found.stripe_api_base,
        )
    return replace(
        settings,
        database_url=settings.database_url or found.database_url,
        kafka_bootstrap_servers=settings.kafka_bootstrap_servers or found.kafka_bootstrap_servers,
    )


@contextmanager
def database(settings: Settings, *, create: bool = False) -> Iterator[Settings]:
    """Settings with a `database_url` that answers: the environment's, that of a running `stagedoor up`, or the embedded
    server, started for the `with` block. Only from the main thread.

    Args:
        create: make an empty embedded database if there is none yet.

    Raises:
        SettingsError: the database is out of reach, or there is none and `create` is false.
        PartFailedError: the embedded server does not start.
    """
    resolved = resolve(settings)
    if resolved.database_url is not None:
        from cli.embedded.reach import require_database  # noqa: PLC0415

        require_database(resolved.database_url)
        yield resolved
        return
    from cli.embedded import postgres, postgres_cluster  # noqa: PLC0415 - only needed when nothing runs

    if not create and not postgres_cluster.exists(postgres_cluster.locate(settings.data_dir)):
        raise SettingsError(f"no database in {settings.data_dir}: start one with `stagedoor up`, or set DATABASE_URL")
    with postgres.embedded_postgres(settings.data_dir) as url:
        yield replace(resolved, database_url=url)


def is_alive(pid: int) -> bool:
    """Whether a process with this number runs. One that has ended and waits for its parent to notice does not: in a
    container whose first process reaps no orphans it would wait for ever."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return True  # no /proc here, or it ended just now
    return state not in ("Z", "X")
