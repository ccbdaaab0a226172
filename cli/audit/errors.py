"""What ends a look into the log: one line on standard error, exit code 1."""

from __future__ import annotations

import click


class NotFoundError(click.ClickException):
    """There is no such ticket, order or user, or there was none at that moment."""


class DamagedLogError(click.ClickException):
    """A stored event cannot be read or does not follow from the ones before it."""

    def __init__(self, position: int, stored_name: str, error: Exception) -> None:
        super().__init__(
            f"the event at position {position} ({stored_name}) cannot be read: {type(error).__name__}: {error};"
            " `stagedoor verify` tells what else is wrong"
        )
