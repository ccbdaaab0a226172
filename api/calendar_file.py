"""An event as an iCalendar file (RFC 5545)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from api import models

DURATION = timedelta(hours=3)
"""No listing says when its event ends; an evening is about so long."""

FOLD_BYTES = 75
"""RFC 5545, section 3.1"""


def calendar_file(one: models.Ticket, public_url: str) -> bytes:
    """The file for one listing's event; the same event has the same id in every calendar, and is replaced there."""
    starts_at = one.event.starts_at
    lines = (
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//Stagedoor//Listings//EN",
        "BEGIN:VEVENT",
        f"UID:{one.id}@stagedoor",
        f"SEQUENCE:{one.version}",
        f"DTSTAMP:{_stamp(one.updated_at)}",
        f"DTSTART:{_stamp(starts_at)}",
        f"DTEND:{_stamp(starts_at + DURATION)}",
        f"SUMMARY:{_text(one.event.name)}",
        f"LOCATION:{_text(one.event.venue)}",
        f"DESCRIPTION:{_text(one.title)}",
        f"URL:{public_url}/tickets/{one.id}",
        "END:VEVENT",
        "END:VCALENDAR",
    )
    return b"".join(_folded(line) for line in lines)


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def _text(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,")
    return " ".join(escaped.split())


def _folded(line: str) -> bytes:
    """A line of at most 75 bytes, and what is left of it on lines that begin with a blank; no character is cut."""
    pieces, piece = [], b""
    for character in line:
        encoded = character.encode()
        if len(piece) + len(encoded) > FOLD_BYTES:
            pieces.append(piece)
            piece = b" "
        piece += encoded
    return b"\r\n".join([*pieces, piece]) + b"\r\n"
