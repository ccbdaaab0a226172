"""Faust's transport with a consumer that does not wait long for news.

Faust asks the broker with a wait of 1.5 s, which cannot be set. aiokafka has one such question under way a broker, and
while it waits on partitions that are idle, the busy ones wait too: read models were a second behind for ever after the
first burst. With 25 ms they are not, and an idle worker asks forty times a second, which costs next to nothing.
"""

from __future__ import annotations

from typing import Any

from faust.transport.drivers import aiokafka as driver

FETCH_WAIT_MS = 25


class ConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc] # faust ships no types
    """Faust's, but for the wait."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # Read once, when it starts. There is no public way to it once Faust has made the consumer.
        assert hasattr(consumer, "_fetch_max_wait_ms")
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        return consumer


class Consumer(driver.Consumer):  # type: ignore[misc]
    """Faust's, with that thread."""

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)


class Transport(driver.Transport):  # type: ignore[misc]
    """Faust's, with that consumer."""

    Consumer = Consumer
