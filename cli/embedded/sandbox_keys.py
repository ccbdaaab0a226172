"""The Stripe sandbox's secrets: made once, kept in the data folder, readable by its owner alone."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

import msgspec

from adapters.settings import SettingsError
from cli.embedded.folder import write_private


@dataclass(frozen=True)
class SandboxKeys:
    """In the form of Stripe's own test keys."""

    secret_key: str
    webhook_secret: str


def load(data_dir: Path) -> SandboxKeys:
    """The keys of a data folder; makes them the first time.

    Raises:
        SettingsError: the file is there and unreadable.
    """
    folder = data_dir / "sandbox"
    file = folder / "keys.json"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        return msgspec.json.decode(file.read_bytes(), type=SandboxKeys)
    except FileNotFoundError:
        keys = SandboxKeys(f"sk_test_{secrets.token_hex(24)}", f"whsec_{secrets.token_hex(24)}")
        write_private(file, msgspec.json.encode(keys).decode())
        return keys
    except (OSError, msgspec.DecodeError) as error:
        raise SettingsError(f"{file} cannot be read: {error}") from error


def state_path(data_dir: Path) -> Path:
    """Where the sandbox keeps its intents, charges and refunds."""
    return data_dir / "sandbox" / "state.sqlite3"
