"""What the consumers of Kafka have in common."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiokafka import AIOKafkaConsumer


NEW_LEADER_MS = 15_000
"""How old what a consumer knows of leaders may be.

Where a partition has no committed place, aiokafka 0.14 asks who was its leader again and again, and learns of another
one only by this age: five minutes by default, in which nothing of that partition is read.
"""


async def stop(consumer: AIOKafkaConsumer) -> None:
    """Stop *consumer*; a CancelledError out of this means that the caller was cancelled, and nothing else.

    `AIOKafkaConsumer.stop` of 0.14 cancels a fetch that waits to be tried again and lets that out (`Fetcher.close`):
    the caller looks cancelled though nobody cancelled it, and the connections stay open.
    """
    try:
        await consumer.stop()
    except asyncio.CancelledError:
        await consumer._client.close()  # noqa: SLF001 - what `stop` did not come to, and does not do a second time
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
