"""The data folder: who may read it, and that one process tree at a time runs servers on it."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from adapters.settings import SettingsError

LOCK_FILE = "lock"
LOCK_TRIES_SECONDS = 1.0
"""`is_locked` holds the lock for a moment; that must not look like a running `stagedoor up`."""


class FolderInUseError(SettingsError):
    """Another process runs servers on the data folder."""


def open_folder(data_dir: Path) -> None:
    """Makes the data folder, for its owner alone. For root it must let PostgreSQL's own user through.

    Raises:
        SettingsError: it cannot be made or written.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        data_dir.chmod(0o711 if os.geteuid() == 0 else 0o700)
        (data_dir / LOCK_FILE).open("a").close()
    except OSError as error:
        raise SettingsError(f"the data folder {data_dir} cannot be used: {error.strerror}") from error


@contextmanager
def lock_folder(data_dir: Path) -> Iterator[None]:
    """Holds the data folder for one process. The kernel gives it back however the process ends.

    Raises:
        FolderInUseError: another process holds it.
    """
    with (data_dir / LOCK_FILE).open("a") as file:
        end = time.monotonic() + LOCK_TRIES_SECONDS
        while not _try_lock(file.fileno(), fcntl.LOCK_EX):
            if time.monotonic() > end:
                raise FolderInUseError(f"the data folder {data_dir} is in use by another `stagedoor` command")
            time.sleep(0.05)
        yield


def is_locked(data_dir: Path) -> bool:
    """Whether some process holds the data folder."""
    try:
        with (data_dir / LOCK_FILE).open() as file:
            return not _try_lock(file.fileno(), fcntl.LOCK_SH)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise SettingsError(f"the data folder {data_dir} cannot be used: {error.strerror}") from error


def write_private(path: Path, text: str) -> None:
    """Replaces a file at once, readable by its owner alone."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
