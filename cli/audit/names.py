"""The names that accounts have today; they are sealed, and opened with the house key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import psycopg

from adapters.house_key import find_house_key
from adapters.personal_data import NAME, open_person_key
from adapters.settings import Settings

_NAMES = "SELECT user_id, sealed_key, name FROM accounts JOIN personal_keys USING (user_id) WHERE user_id = ANY(%s)"


def read_names(connection: psycopg.Connection[Any], settings: Settings, ids: Sequence[UUID | None]) -> dict[UUID, str]:
    """By user; who was erased is not in it.

    Raises:
        SettingsError: there are names, and the house key is missing or is another one.
    """
    rows = connection.execute(_NAMES, (list(ids),)).fetchall()
    if not rows:
        return {}
    house_key = find_house_key(connection, settings)
    return {user_id: open_person_key(house_key, user_id, key).open(NAME, name) for user_id, key, name in rows}
