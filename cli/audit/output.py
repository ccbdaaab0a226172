"""Lines on standard output."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

import click

READER_LEFT = 1


def show(lines: Iterable[str]) -> None:
    """Prints the lines as they come. A reader that leaves early, such as `head`, ends the command without a word."""
    try:
        for line in lines:
            click.echo(line)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(READER_LEFT)
