"""What is written on the command line, and what becomes of it."""

from __future__ import annotations

from datetime import UTC, datetime

import click
import msgspec

from api.fields import Time


class Moment(click.ParamType):
    """A time of RFC 3339 with its offset, such as `2026-11-20T13:03:30Z`; becomes an aware datetime in UTC."""

    name = "time"

    def convert(self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """See there. Fails (exit code 2) on anything else, a time without an offset among it."""
        if isinstance(value, datetime):
            return value
        try:
            return msgspec.convert(value, type=Time).astimezone(UTC)
        except (msgspec.ValidationError, OverflowError):
            self.fail(f"{value!r} is no time of RFC 3339 with an offset, such as 2026-11-20T13:03:30Z", param, ctx)


MOMENT = Moment()
