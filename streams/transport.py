"""Faust's transport with a consumer that does not wait long for news, asks less often while there is much, and hands
records on by the bundle.

Faust asks the broker with a wait of 1.5 s, which cannot be set. aiokafka has one such question under way a broker, and
while it waits on partitions that are idle, the busy ones wait too: read models were a second behind for ever after the
first burst. With 25 ms they are not, and an idle worker asks forty times a second.

While there is much, a broker always has something, and answers with little, again and again: a question about all
partitions costs about as much as applying twenty events, and so does a transaction. So the next one waits while more
gathers, the longer the more records there were.

And Faust hands on every record by itself, with four tasks of the event loop and an event each: more than half of all
that a worker did. What is fetched of a topic at once goes through it as one message here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from time import monotonic
from typing import Any

from aiokafka import ConsumerRecord
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage
from mode.utils.futures import notify

FETCH_WAIT_MS = 25

GATHER_SECONDS_PER_RECORD, LONGEST_GATHER_SECONDS = 0.0005, 0.02
"""How long more gathers before the next question: lag against the cost of asking, and of a transaction for what comes.
What comes by itself is not waited after."""

log = logging.getLogger(__name__)


class Bundle(ConsumerMessage):  # type: ignore[misc] # faust ships no types
    """Records of one topic as one Faust message, each partition's in order: acknowledged together.

    For Faust it is the last record of the first partition.
    """

    __slots__ = ("ends", "records")

    def __init__(self, found: Mapping[TP, Sequence[ConsumerRecord]], generation_id: int) -> None:
        self.records = [record for records in found.values() for record in records]
        self.ends = {place: records[-1].offset for place, records in found.items()}
        """The offset of each partition's last record."""
        place = next(iter(found))
        last = found[place][-1]
        super().__init__(
            *place, last.offset, last.timestamp / 1000, last.timestamp_type, None, None, None, None, 0, 0, place,
            generation_id=generation_id,
        )  # fmt: skip


class ConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """Faust's, but for the waits."""

    _ask_at = 0.0
    """On the monotonic clock, when the broker may be asked again."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # Read once, when it starts. There is no public way to it once Faust has made the consumer.
        assert hasattr(consumer, "_fetch_max_wait_ms")
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        return consumer

    async def on_start(self) -> None:
        """Starts the consumer. What it asks is not said before it has partitions, and every time by this method."""
        await super().on_start()
        fetcher = self._consumer._fetcher
        ask = fetcher._proc_fetch_request

        async def ask_later(*question: Any) -> bool:
            try:
                await asyncio.sleep(self._ask_at - monotonic())  # a negative time is none
            except asyncio.CancelledError:
                return False  # as it does itself, which others rely on
            found: bool = await ask(*question)
            return found

        fetcher._proc_fetch_request = ask_later

    async def _fetch_records(self, *args: Any, **options: Any) -> dict[TP, list[ConsumerRecord]]:
        """What has come by now, or comes within the time given. The next question is under way only after that."""
        found: dict[TP, list[ConsumerRecord]] = await super()._fetch_records(*args, **options)
        count = sum(map(len, found.values()))
        self._ask_at = monotonic() + min(count * GATHER_SECONDS_PER_RECORD, LONGEST_GATHER_SECONDS)
        return found

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Without Faust's look at what was last seen of a partition: a bundle is counted as one partition's."""
        self._verify_aiokafka_event_path(now, tp)


class Consumer(driver.Consumer):  # type: ignore[misc]
    """Faust's, with that thread, and with bundles."""

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Bundle]]:  # noqa: ASYNC109 - Faust's signature
        """Fetches once, and yields what came of each topic as one message."""
        found, active = await self._wait_next_records(timeout)
        generation_id = self.app.consumer_generation_id
        if found is None or self.should_stop:
            return
        if not self.flow_active:
            await self._seek_to_committed()
            return
        topics: dict[str, dict[TP, Sequence[ConsumerRecord]]] = {}
        for place, records in found.items():
            if (place in active or place in self._buffered_partitions) and self._is_new(place, records[-1].offset):
                topics.setdefault(place.topic, {})[TP(*place)] = records
        for of_topic in topics.values():
            if not self.flow_active or self.app.consumer_generation_id != generation_id:
                return  # a rebalance: whoever gets the partition begins at the committed offset
            bundle = Bundle(of_topic, generation_id)
            yield bundle.tp, bundle
            self._read_offset.update(bundle.ends)

    def _is_new(self, place: TP, offset: int) -> bool:
        """As Faust judges a message, which would judge a bundle by one partition."""
        read = self._read_offset[place]
        return read is None or offset >= read

    async def _seek_to_committed(self) -> None:
        try:
            await self.perform_seek()
        except Exception as error:  # noqa: BLE001 - as Faust does: the rebalance under way seeks again
            log.warning("the committed offsets cannot be read now (%s)", type(error).__name__)

    def on_buffer_full(self, tp: TP) -> None:
        """A topic's agent does not keep up: nothing more of all of its partitions."""
        for place in self._of_topic(tp):
            super().on_buffer_full(place)

    def on_buffer_drop(self, tp: TP) -> None:
        """It does again."""
        for place in self._of_topic(tp):
            super().on_buffer_drop(place)

    def _of_topic(self, tp: TP) -> list[TP]:
        return [place for place in self.assignment() if place.topic == tp.topic]

    def ack(self, message: Bundle) -> bool:
        """A bundle is done; what comes of it is committed by and by."""
        if message.acked:
            return False
        message.acked = True
        self._unacked_messages.discard(message)
        for place, offset in message.ends.items():
            committed = self._committed_offset[place]
            if committed is None or offset >= committed:
                self._acked[place].append(offset)
        self._n_acked += 1
        notify(self._waiting_for_ack)
        return True

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Between the last records of two bundles nothing is missing."""

    def _new_offset(self, tp: TP) -> int | None:
        """The offset to commit: behind the last bundle acknowledged, since a topic's come and end in order."""
        acked = self._acked[tp]
        if not acked:
            return None
        offset: int = max(acked) + 1
        acked.clear()
        return offset


class Transport(driver.Transport):  # type: ignore[misc]
    """Faust's, with that consumer."""

    Consumer = Consumer
