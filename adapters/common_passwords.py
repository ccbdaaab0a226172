"""Passwords that everybody tries first, from a list that comes with the program: nothing is asked of anybody else."""

from __future__ import annotations

import unicodedata
from functools import cache
from importlib.resources import files

FILE = "common_passwords.txt"
"""Its first lines say where it is from; 11,600 passwords, about a megabyte in memory."""


def folded(text: str) -> str:
    """What is the same to somebody who guesses: width, compatibility forms and case do not count."""
    return unicodedata.normalize("NFKC", text).casefold().strip()


def is_common(password: str) -> bool:
    """Whether it is on the list, in whatever case."""
    return folded(password) in _listed()


@cache
def _listed() -> frozenset[str]:
    lines = (files("adapters") / FILE).read_text(encoding="utf-8").splitlines()
    return frozenset(line for line in lines if line and not line.startswith("#"))
