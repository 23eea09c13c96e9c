"""Leave a Kafka that runs on as it was before."""

from __future__ import annotations

import asyncio

from aiokafka.admin import AIOKafkaAdminClient

_TRIES, _PAUSE = 50, 0.1


async def drop_topics(bootstrap: str, prefix: str) -> None:
    """Delete every topic whose name begins with *prefix*; what their consumers committed goes with them."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        for _ in range(_TRIES):
            there = [name for name in await admin.list_topics() if name.startswith(prefix)]
            if not there:
                return
            await admin.delete_topics(there)
            await asyncio.sleep(_PAUSE)
    finally:
        await admin.close()
