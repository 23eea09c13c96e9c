"""What people say at run time to every worker: pauses of connections and modes of flows."""

from __future__ import annotations

import msgspec
from aiokafka import AIOKafkaProducer

from app.config.model import Settings
from app.core import topics
from app.roles.gateway import security
from schemas.broadcast import Fact

_ENCODE = msgspec.json.Encoder().encode


async def send(settings: Settings, fact: Fact) -> None:
    """Publish a fact, acknowledged by all in-sync replicas; it holds until another of its kind and subject comes."""
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka.bootstrap, acks="all", enable_idempotence=True, **security(settings.kafka)
    )
    try:
        await producer.start()
        await producer.send_and_wait(settings.topics.prefix + topics.BROADCAST, _ENCODE(fact), key=fact.key)
    finally:
        await producer.stop()
