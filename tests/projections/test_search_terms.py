"""Words and facets: the same on the listing's side and on the question's."""

from __future__ import annotations

import pytest

from projections.search import MAX_TERM, MAX_WORDS, folded, question, sort_key, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Semi-final, category 2", ["semi", "final", "category", "2"]),
        ("AT&T Stadium", ["at", "t", "stadium"]),
        ("Müngersdorf", ["mungersdorf"]),
        ("MÜNGERSDORF", ["mungersdorf"]),
        ("Große Freiheit", ["grosse", "freiheit"]),
        ("Café del Mar", ["cafe", "del", "mar"]),
        ("Łódź", ["lodz"]),
        ("İstanbul", ["istanbul"]),
        ("under_score", ["under", "score"]),
        ("日本武道館", ["日本武道館"]),
        ("www.example.org/path", ["www", "example", "org", "path"]),
        ("!?…", []),
    ],
)
def test_words_are_folded_and_taken_apart(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_terms_stay_within_what_an_index_holds() -> None:
    expanding = "\N{ARABIC LIGATURE SALLALLAHOU ALAYHE WASALLAM}" * 200
    assert len(folded(expanding)) > 2_000
    assert len(sort_key(expanding)) == MAX_TERM
    assert all(len(word) <= MAX_TERM for word in words(expanding))


def test_a_question_is_a_conjunction_of_prefixes_and_facets() -> None:
    assert question("Semi final semi", {}) == "'semi':* & 'final':*"
    assert question(None, {"venue": "AT&T  Stadium"}) == "'=venue:at&t stadium'"
    assert question("a", {"category": "O'Neill \\ Sons"}) == "'=category:o''neill \\\\ sons' & 'a':*"


def test_nothing_asked_is_no_question_and_nothing_to_find_an_empty_one() -> None:
    assert question(None, {}) is None
    assert question("  ", {}) is None
    assert question("!?", {}) == ""


def test_a_long_question_is_cut() -> None:
    asked = question(" ".join(f"w{number}" for number in range(100)), {})
    assert asked is not None
    assert asked.count("&") == MAX_WORDS - 1
