"""Ready means that an admin call creates and deletes a topic, not that a port is open."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from uuid import uuid4

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from app.core.errors import ConfigError

_PAUSE = 0.25


async def answers(bootstrap: str, copies: int = 1) -> bool:
    """Tell whether the Kafka at *bootstrap* creates and deletes a topic, of which *copies* brokers each keep one."""
    if not await _listens(bootstrap):
        return False
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=5_000)
    name = f"o2c-ready-{uuid4().hex[:12]}"
    try:
        await admin.start()
        created = await admin.create_topics([NewTopic(name, 1, copies)])
        if any(code for _, code, *_ in created.topic_errors):
            return False
        await admin.delete_topics([name])
    except (KafkaError, OSError):
        return False
    finally:
        await admin.close()
    return True


async def _listens(bootstrap: str) -> bool:
    """Tell whether any port is open yet: asking a client before that only fills the log."""
    for address in bootstrap.split(","):
        host, _, port = address.strip().rpartition(":")
        try:
            _, writer = await asyncio.open_connection(host or "127.0.0.1", int(port))
        except (OSError, ValueError):
            continue
        writer.close()
        return True
    return False


async def wait_until_ready(
    bootstrap: str, seconds: float, alive: Callable[[], bool] = lambda: True, copies: int = 1
) -> None:
    """Wait until Kafka answers and has *copies* brokers; ConfigError when it ended or *seconds* passed."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not await answers(bootstrap, copies):
        if not alive():
            raise ConfigError("Kafka ended while it was starting; look into its log for why.")
        if asyncio.get_running_loop().time() > deadline:
            message = f"Kafka at {bootstrap} did not become ready within {seconds:.0f} s; look whether it runs there"
            raise ConfigError(f"{message} and lets topics be created, then try again.")
        await asyncio.sleep(_PAUSE)
