"""What the house does of its own accord, rather than because somebody asked."""

from __future__ import annotations

from uuid import uuid4

from domain.aggregate import Cause


def house_cause() -> Cause:
    """The cause of one command of the house's."""
    command_id = uuid4()
    return Cause(actor=None, command_id=command_id, correlation_id=command_id)
