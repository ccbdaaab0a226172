"""Faust's transport with a consumer that does not wait long for news, and hands them on by the bundle.

Faust asks the broker with a wait of 1.5 s, which cannot be set. aiokafka has one such question under way a broker, and
while it waits on partitions that are idle, the busy ones wait too: read models were a second behind for ever after the
first burst. With 25 ms they are not, and an idle worker asks forty times a second, which costs next to nothing.

And Faust hands on every record by itself, with four tasks of the event loop and an event each: more than half of all
that a worker did. What is fetched of a partition at once goes through it as one message here.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any

from aiokafka import ConsumerRecord
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage

FETCH_WAIT_MS = 25

log = logging.getLogger(__name__)


class Bundle(ConsumerMessage):  # type: ignore[misc] # faust ships no types
    """Consecutive records of one partition as one Faust message: acknowledged together, by the offset of the last."""

    __slots__ = ("records",)

    def __init__(self, place: TP, records: Sequence[ConsumerRecord], generation_id: int) -> None:
        last = records[-1]
        super().__init__(
            *place, last.offset, last.timestamp / 1000, last.timestamp_type, None, None, None, None, 0, 0, place,
            generation_id=generation_id,
        )  # fmt: skip
        self.records = records


class ConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """Faust's, but for the wait."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # Read once, when it starts. There is no public way to it once Faust has made the consumer.
        assert hasattr(consumer, "_fetch_max_wait_ms")
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        return consumer


class Consumer(driver.Consumer):  # type: ignore[misc]
    """Faust's, with that thread, and with bundles."""

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Bundle]]:  # noqa: ASYNC109 - Faust's signature
        """Fetches once, and yields what came of each partition as one message."""
        found, active = await self._wait_next_records(timeout)
        generation_id = self.app.consumer_generation_id
        if found is None or self.should_stop:
            return
        if not self.flow_active:
            await self._seek_to_committed()
            return
        for place, records in found.items():
            if not self.flow_active or self.app.consumer_generation_id != generation_id:
                return  # a rebalance: whoever gets the partition begins at the committed offset
            if place in active or place in self._buffered_partitions:
                yield TP(*place), Bundle(TP(*place), records, generation_id)

    async def _seek_to_committed(self) -> None:
        try:
            await self.perform_seek()
        except Exception as error:  # noqa: BLE001 - as Faust does: the rebalance under way seeks again
            log.warning("the committed offsets cannot be read now (%s)", type(error).__name__)

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Between the last records of two bundles nothing is missing."""

    def _new_offset(self, tp: TP) -> int | None:
        """The offset to commit: behind the last bundle acknowledged, since a partition's come and end in order."""
        acked = self._acked[tp]
        if not acked:
            return None
        offset: int = max(acked) + 1
        acked.clear()
        self._acked_index[tp].clear()
        return offset


class Transport(driver.Transport):  # type: ignore[misc]
    """Faust's, with that consumer."""

    Consumer = Consumer
