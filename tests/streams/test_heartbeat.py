"""A process without a port shows that it turns."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from streams import heartbeat
from tests.streams.parts import eventually


async def test_the_file_is_touched_again_and_again_and_a_disk_in_trouble_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(heartbeat, "INTERVAL_SECONDS", 0.01)
    file = tmp_path / "away" / "heartbeat"
    begun = asyncio.Event()
    beating = asyncio.ensure_future(heartbeat.beat(file, begun))
    await asyncio.sleep(0.1)
    assert caplog.records == [], "not before its work has begun"
    begun.set()
    await asyncio.sleep(0.1)
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == ["no heartbeat"], "said once"
    file.parent.mkdir()
    for _ in range(2):
        await eventually(lambda: file.exists() and file.stat().st_mtime > 0, "it beats", 5)
        os.utime(file, (0, 0))
    beating.cancel()
