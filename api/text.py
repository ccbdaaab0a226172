"""The text people give: one Unicode form for all of it, and the characters that are in none of it.

The form is NFC (UAX 15). What is refused is what PRECIS disallows in its FreeformClass (RFC 8264, section 4.3:
controls, noncharacters, what nobody sees) and what turns the text around it (UAX 9, section 2), but for what people
write with:

- variation selectors, for emoji (UTS 51) and for names in Japanese;
- the marks U+061C, U+200E and U+200F, for Hebrew and Arabic: they turn no letters;
- a joiner (ZWNJ, ZWJ) after a character beyond ASCII that is no blank and no joiner, for Persian, the scripts of India
  (UAX 31, section 2.3) and emoji (UTS 51, ED-16). After ASCII it joins nothing, and only makes a second text that looks
  like the first.

The patterns are written so that Python and ECMA-262 (of OpenAPI) read them alike.
"""

from __future__ import annotations

import re
import unicodedata

_NEVER = (
    (0x00, 0x08),  # controls, but for the line ends
    (0x0B, 0x0C),
    (0x0E, 0x1F),
    (0x7F, 0x9F),
    (0xAD, 0xAD),  # a hyphen that is not seen, and other characters without a shape
    (0x34F, 0x34F),
    (0x115F, 0x1160),
    (0x17B4, 0x17B5),
    (0x180E, 0x180E),
    (0x200B, 0x200B),
    (0x2028, 0x2029),  # ends of lines and paragraphs that no line reader knows
    (0x202A, 0x202E),  # what turns text around
    (0x2060, 0x206F),  # more of both kinds
    (0x3164, 0x3164),
    (0xFDD0, 0xFDEF),  # noncharacters
    (0xFEFF, 0xFEFF),  # the byte order mark
    (0xFFA0, 0xFFA0),
    (0xFFF9, 0xFFFB),  # annotations
    (0x1BCA0, 0x1BCA3),  # controls of shorthand and music
    (0x1D173, 0x1D17A),
    (0xE0000, 0xE00FF),  # tags, which can carry a text of their own, and what is kept free for their like
    (0xE01F0, 0xE0FFF),
    *((plane + 0xFFFE, plane + 0xFFFF) for plane in range(0, 0x110000, 0x10000)),  # noncharacters
)
_JOINERS = r"\u200c\u200d"
_ALONE = rf"(?<![^\x00-\x7f\s{_JOINERS}])[{_JOINERS}]"
_SELECTORS_AND_MARKS = ((0xFE00, 0xFE0F), (0xE0100, 0xE01EF), (0x61C, 0x61C), (0x200E, 0x200F))


def _ranges(pairs: tuple[tuple[int, int], ...]) -> str:
    """What stands in a character class. Beyond the first plane the two dialects have no escape in common."""
    return "".join(_written(first) if first == last else f"{_written(first)}-{_written(last)}" for first, last in pairs)


def _written(point: int) -> str:
    return f"\\u{point:04x}" if point <= 0xFFFF else chr(point)  # noqa: PLR2004 - the last of the first plane


_FORBIDDEN = rf"[{_ranges(_NEVER)}]|{_ALONE}"

SOME_LINES = rf"^(?![\s\S]*(?:{_FORBIDDEN}))"
"""A pattern for text of any number of lines; line feed, carriage return and tab are allowed."""

ONE_LINE = rf"^(?![\s\S]*(?:[\t\n\r]|{_FORBIDDEN}))"
"""A pattern for one line. Lookaheads, because a plain class with `$` lets a trailing line feed pass in Python."""

_SEEN = rf"[^\s\u2800{_ranges(_SELECTORS_AND_MARKS)}{_JOINERS}]"

SEEN_LINE = rf"{ONE_LINE}(?=[\s\S]*{_SEEN})"
"""A pattern for one line that is not blank."""

PLAIN_LINE = rf"^(?![\s\S]*[\t\n\r{_ranges(_NEVER + _SELECTORS_AND_MARKS)}{_JOINERS}])"
"""A pattern for one line in which nothing is invisible, for what names somebody: an e-mail address."""

_never, _seen = re.compile(_FORBIDDEN), re.compile(_SEEN)
_somewhere = re.compile(rf"[\t\n\r{_ranges(_SELECTORS_AND_MARKS)}{_JOINERS}]")


def normalised(value: str) -> str:
    """The text in NFC."""
    return value if value.isascii() else unicodedata.normalize("NFC", value)


def fault(value: str) -> str | None:
    """Why a text does not fit one of these patterns, for a person; None: it would be another pattern's fault."""
    found = _never.search(value)
    if found is None and _seen.search(value) is None:
        return "is blank"
    found = found or _somewhere.search(value)
    return None if found is None else f"has U+{ord(found[0]):04X}, which is not allowed here"
