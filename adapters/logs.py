"""Logs of a process: one JSON object a line on standard error, ids and kinds only.

The text of an exception goes nowhere: a driver's may quote a row, a client's a body. What happened where is enough.
Libraries write messages of their own; what looks like an address, a token or a password in one is blotted out.
"""

from __future__ import annotations

import logging
import re
import traceback
from datetime import UTC, datetime

import msgspec

_SECRET = re.compile(
    r"""
      [^\s@"<>()\[\],;:\\]{1,64} @ [\w-]+ (?: \.[\w-]+ )+    # an e-mail address
    | eyJ [\w-]+ \. [\w-]+ \. [\w-]*                         # a JWT
    | [0-9a-f]{8} (?: -[0-9a-f]{4} ){3} -[0-9a-f]{12} \. [\w-]{20,}  # a refresh token
    | (?: sk | rk | whsec ) _ \w{8,} | \w+ _secret_ \w+      # Stripe's keys and client secrets
    | (?<= :// ) [^\s/@:]* : [^\s/]+ (?= @ )               # user and password of a URL
    """,
    re.VERBOSE,
)


class JsonLines(logging.Formatter):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
            "process": record.process,
        }
        if record.exc_info is not None and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
            line["frames"] = "".join(traceback.format_tb(record.exc_info[2]))
        return msgspec.json.encode(line).decode()


def _message(record: logging.LogRecord) -> str:
    message = record.getMessage()
    if record.name == "asyncio":
        # Further lines are what the loop knows of a task: its exception, with its text.
        message = message.partition("\n")[0]
    return _SECRET.sub("***", message)


def configure(level: int = logging.INFO) -> None:
    """Sets up the process's logging; called once, by the program's own entry point."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # It tells every request it makes, with its address.
    logging.getLogger("stripe").setLevel(logging.WARNING)
