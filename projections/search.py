"""How listings are found: what a listing's search terms are, and what a question makes of them.

Words are folded here and not by the server's text parser, the same way on both sides: without case and accents,
apart at everything that is no letter or digit. So `semi-final` is `semi` and `final`, `AT&T` is `at` and `t`, and
`Muller` finds `Müller`. A word of a question matches every word it begins.

Category, venue, promoter and currency are terms too, whole ones, so that one index answers any mixture of them, also
one that nothing fits.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from domain.listing import Listing

MAX_TERM = 200
"""Characters of a term; at four bytes each it stays far below what an index can hold (2,046 bytes)."""

MAX_WORDS = 16
"""Words of a question that count: nobody types more, and each one is a look into the index."""

FACETS = ("category", "venue", "promoter", "currency")

_UNDECOMPOSED = str.maketrans(
    {"ł": "l", "ø": "o", "đ": "d", "ð": "d", "ħ": "h", "ı": "i", "ŧ": "t", "æ": "ae", "œ": "oe", "þ": "th"}
)
"""Latin letters that Unicode does not take apart into a plain one and an accent."""

_UNSEEN = dict.fromkeys(
    (*range(0x200B, 0x2010), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0), 0xAD, 0x61C, 0x2060, 0xFEFF)
)
"""Joiners, marks and variation selectors: within a word, and no part of it (UAX 29, WB4)."""

_WORD = re.compile(r"[^\W_]+")


def folded(value: str) -> str:
    """The text without case, accents, compatibility forms and what is not seen."""
    decomposed = unicodedata.normalize("NFKD", value.translate(_UNSEEN).casefold())
    plain = "".join(character for character in decomposed if not unicodedata.combining(character))
    return plain.translate(_UNDECOMPOSED)


def words(value: str) -> list[str]:
    """Its words, folded, in order."""
    return [word[:MAX_TERM] for word in _WORD.findall(folded(value))]


def sort_key(title: str) -> str:
    """What titles are sorted by: folded, of a length an index can hold."""
    return _line(title)


def listing_terms(listing: Listing) -> str:
    """What a listing is found by, one term a line."""
    event = listing.event
    fields = (listing.title, event.name, event.venue, event.promoter, event.category)
    found = {word for field in fields if field is not None for word in words(field)}
    facets = {
        "category": event.category,
        "venue": event.venue,
        "promoter": event.promoter,
        "currency": listing.price.currency,
    }
    found.update(_facet(name, value) for name, value in facets.items() if value is not None)
    return "\n".join(sorted(found))


def question(q: str | None, facets: dict[str, str]) -> str | None:
    """A `tsquery` for words and facets; None if nothing is asked, an empty one if nothing could match.

    Args:
        facets: values by their names in `FACETS`; compared whole, without case and accents.
    """
    parts = [_quoted(_facet(name, value)) for name, value in facets.items()]
    if q is not None and q.strip():
        asked = words(q)[:MAX_WORDS]
        if not asked:
            return ""
        parts += [f"{_quoted(word)}:*" for word in asked]
    return _conjunction(parts) if parts else None


def _facet(name: str, value: str) -> str:
    """No word begins with `=`, so that a question's words never match a facet."""
    assert name in FACETS
    return f"={name}:{_line(value)}"


def _line(value: str) -> str:
    return " ".join(folded(value.replace("\0", " ")).split())[:MAX_TERM]


def _quoted(term: str) -> str:
    escaped = term.replace("\\", "\\\\").replace("'", "''").replace("\0", "")
    return f"'{escaped}'"


def _conjunction(parts: Iterable[str]) -> str:
    return " & ".join(dict.fromkeys(parts))
