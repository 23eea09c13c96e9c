"""What people say at run time to every worker: pauses of connections, modes of flows, registered webhooks."""

from __future__ import annotations

import msgspec
from aiokafka import AIOKafkaProducer

from app.config.model import Settings
from app.core import topics
from app.core.errors import ConfigError
from app.kafka import security
from schemas.broadcast import Fact

_ENCODE = msgspec.json.Encoder().encode


async def send(settings: Settings, *facts: Fact) -> None:
    """Publish facts, acknowledged by all in-sync replicas; each holds until another of its kind and subject comes.

    ConfigError when there are no topics yet.
    """
    topic = settings.topics.prefix + topics.BROADCAST
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka.bootstrap, acks="all", enable_idempotence=True, **security(settings.kafka)
    )
    try:
        await producer.start()
        if topic not in (await producer.client.fetch_all_metadata()).topics():
            raise ConfigError(f"The topic {topic} does not exist; run `o2c topics apply`.")
        for fact in facts:
            await producer.send_and_wait(topic, _ENCODE(fact), key=fact.key)
    finally:
        await producer.stop()
