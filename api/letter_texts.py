"""What the letters say: plain text, nothing in it that somebody else has chosen.

A name is up to whoever signs up, with whatever address: with the name in it, a letter could be made to say anything to
anybody. The link's token stands behind `#`: browsers keep that part to themselves, so it is in no server's or proxy's
log, and in no `Referer`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid

import idna

from adapters.letters import LINK_LIFETIME, LINKS
from adapters.mail import domain_of
from domain.records import LetterKind, LinkPurpose

_SUBJECTS: dict[LetterKind, str] = {
    "verify_email": "Verify your address",
    "password_reset": "Choose a new password",
    "password_changed": "Your password was changed",
    "address_changed": "Your address was changed",
}
_TEXTS: dict[LetterKind, str] = {
    "verify_email": """\
This address was given for an account at {house}. If it was you, follow this
link, within {hours}:

{link}

If it was not, do nothing: without the link the address counts for nothing.
""",
    "password_reset": """\
A new password was asked for, for your account at {house}. If it was you,
follow this link, within {hours}:

{link}

If it was not, do nothing: your password stays as it is.
""",
    "password_changed": """\
The password of your account at {house} was changed, and whoever was signed
in with the old one is signed out. If it was not you, ask for a new password.
""",
    "address_changed": """\
Your account at {house} has another address now; this is the last letter to
this one. If it was not you, somebody knows your password.
""",
}
_FRAGMENTS: dict[LinkPurpose, str] = {"verify_email": "verify", "password_reset": "reset"}


def letter(kind: LetterKind, recipient: str, *, sender: str, public_url: str, token: str | None) -> EmailMessage:
    """A letter, ready to be handed over. `token`: of the link in it, for the kinds that have one."""
    message = EmailMessage(policy=SMTP)
    message["From"] = sender
    message["To"] = _address(recipient)
    message["Subject"] = f"{_SUBJECTS[kind]} - Stagedoor"
    message["Date"] = format_datetime(datetime.now(UTC))
    message["Message-ID"] = make_msgid(domain=domain_of(sender))
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no machine answers it
    values = {"house": public_url}
    purpose = LINKS.get(kind)
    if purpose is not None:
        values["link"] = f"{public_url}/#{_FRAGMENTS[purpose]}={token}"
        values["hours"] = _hours(LINK_LIFETIME[purpose])
    # Sent as it is: the usual encoding of long lines would put marks into the link.
    message.set_content(_TEXTS[kind].format_map(values), cte="7bit")
    return message


def _address(normalised: str) -> Address:
    """Mail travels under the ASCII form of a domain; only the part before the `@` may need a server that takes more."""
    local, _, domain = normalised.rpartition("@")
    return Address(username=local, domain=domain if domain.isascii() else idna.encode(domain).decode())


def _hours(lifetime: timedelta) -> str:
    hours = int(lifetime.total_seconds()) // 3600
    return "an hour" if hours == 1 else f"{hours} hours"
