"""What Kafka says about the group of workers."""

from __future__ import annotations

from confluent_kafka import ConsumerGroupState
from confluent_kafka.admin import AdminClient

from streams.app import GROUP
from tests.streams.parts import eventually


async def workers_sharing(bootstrap_servers: str, count: int) -> None:
    """Waits until so many are members of the group and each has its share."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})

    def settled() -> bool:
        group = admin.describe_consumer_groups([GROUP])[GROUP].result(10)
        shares = [len(member.assignment.topic_partitions) for member in group.members]
        return group.state == ConsumerGroupState.STABLE and len(shares) == count and min(shares) > 0

    await eventually(settled, f"{count} workers share the work")
