"""What no password may be (NIST SP 800-63B, section 5.1.1.2): one that is guessed first.

Nothing is asked of its characters: length is what makes guessing hard, and any of up to 1,024 is taken.
"""

from __future__ import annotations

from adapters.common_passwords import folded, is_common
from api.problems import invalid

OURS = "stagedoor"


def check_new_password(password: str, email: str, name: str) -> None:
    """Raises `Refused` (422) for a common password, or one that the account itself gives away."""
    if is_common(password):
        raise invalid("password", "one of the most common passwords: choose another one")
    local, _, domain = email.partition("@")
    guessed = folded(password)
    known = {_bare(text) for text in (email, local, domain, name, OURS)} - {""}
    # Whatever separates the parts of a name, and digits behind them, are what everybody tries next.
    if {_bare(guessed), _bare(guessed.rstrip("0123456789"))} & known:
        raise invalid("password", "not your address or your name: choose another one")


def _bare(text: str) -> str:
    return "".join(character for character in folded(text) if character.isalnum())
