"""Logs of a process: one JSON object a line on standard error, ids and kinds only.

The text of an exception goes nowhere: a driver's may quote a row, a client's a body. What happened where is enough.
"""

from __future__ import annotations

import logging
import traceback
from datetime import UTC, datetime

import msgspec


class JsonLines(logging.Formatter):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
        }
        if record.exc_info is not None and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
            line["frames"] = "".join(traceback.format_tb(record.exc_info[2]))
        return msgspec.json.encode(line).decode()


def configure(level: int = logging.INFO) -> None:
    """Sets up the process's logging; called once, by the program's own entry point."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # It tells every request it makes, with its address.
    logging.getLogger("stripe").setLevel(logging.WARNING)
