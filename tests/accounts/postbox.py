"""The outbox as a person's mailbox: which letters came to whom, and the links in them."""

from __future__ import annotations

import re
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

from tests.api.house import eventually

VERIFY, RESET = "Verify your address", "Choose a new password"
PASSWORD_CHANGED, ADDRESS_CHANGED = "Your password was changed", "Your address was changed"


class Postbox:
    """A folder of letters, the oldest first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def letters(self, email: str = "", subject: str = "") -> list[EmailMessage]:
        found = [message_from_bytes(path.read_bytes(), policy=default) for path in sorted(self.folder.glob("*.eml"))]
        return [one for one in found if email in str(one["To"]) and str(one["Subject"]).startswith(subject)]

    async def wait_for(self, email: str, subject: str, count: int = 1) -> EmailMessage:
        """The newest of so many letters."""

        async def arrived() -> bool:
            return len(self.letters(email, subject)) >= count

        assert await eventually(arrived), f"no {count} letters {subject!r} came to {email}"
        return self.letters(email, subject)[-1]

    async def token(self, email: str, subject: str, count: int = 1) -> str:
        """The token of the link in the newest of so many letters."""
        return token_of(await self.wait_for(email, subject, count))


def token_of(letter: EmailMessage) -> str:
    found = re.search(r"^\S+/#(?:verify|reset)=([A-Za-z0-9_-]{43})\s*$", letter.get_content(), re.MULTILINE)
    assert found is not None, letter.get_content()
    return found[1]
