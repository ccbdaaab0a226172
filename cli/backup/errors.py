"""What ends `backup` and `restore` with one line, besides wrong use (`cli.target.CannotStartError`)."""

from __future__ import annotations

import click


class BackupFailedError(click.ClickException):
    """It was not done; everything is as it was. Exit code 1."""


class DamagedBackupError(BackupFailedError):
    """The backup is not what was written."""
